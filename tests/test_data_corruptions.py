"""Corruptions in closed form: where things go, how much noise there is, and of what it depends."""

import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from vision_tiny import FUNCTIONAL, take_torchvision

from data.corruption_names import CORRUPTIONS, SEVERITIES
from data.corruptions import BLUR, BLURRED_SIDE, CONTRAST, DEGREES, FACTORS, NOISE, SHIFTS, corrupted
from data.dataset import Split
from data.errors import SettingsError

SIDE = 40
LEVELS = range(1, SEVERITIES + 1)


@pytest.fixture(params=["stand-in", "real"], autouse=True)
def _vision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    take_torchvision(request.param, monkeypatch)


def split_of(images: Tensor) -> Split:
    number = torch.arange(len(images))
    return Split(images, number % 2, 3 * number + 5, "made", groups=number, boxes=torch.zeros(len(images), 4))


def blob(row: int, col: int, count: int = 8) -> Split:
    """Black images with a white square of 4 pixels whose middle is so far from the image's."""
    images = torch.zeros(count, SIDE, SIDE, 1, dtype=torch.uint8)
    top, left = SIDE // 2 + row - 2, SIDE // 2 + col - 2
    images[:, top : top + 4, left : left + 4] = 255
    return split_of(images)


def noise(count: int = 4, channels: int = 1) -> Split:
    values = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, channels), dtype=np.uint8)
    return split_of(torch.from_numpy(values))


def middles(split: Split) -> tuple[Tensor, Tensor]:
    """(N,) mass of each image, and (N, 2) where its middle is, from that of the image."""
    weights = split.images[..., 0].double() / 255
    mass, axis = weights.sum((1, 2)), torch.arange(SIDE, dtype=torch.float64) + 0.5 - SIDE / 2
    row, col = weights.sum(2) @ axis / mass, weights.sum(1) @ axis / mass
    return mass, torch.stack([row, col], 1)


@pytest.mark.parametrize("severity", LEVELS)
def test_a_translation_moves_by_its_share_in_any_direction(severity: int) -> None:
    mass, moved = middles(corrupted(blob(0, 0, 64), "translation", severity))
    torch.testing.assert_close(
        moved.norm(dim=1), torch.full((64,), SHIFTS[severity - 1] * SIDE).double(), atol=0.05, rtol=0
    )
    torch.testing.assert_close(mass, torch.full((64,), 16.0).double(), atol=0.2, rtol=0)
    quarters = {(bool(row > 0), bool(col > 0)) for row, col in moved}
    assert len(quarters) == 4


@pytest.mark.parametrize("severity", LEVELS)
def test_a_rotation_turns_to_either_side(severity: int) -> None:
    _, turned = middles(corrupted(blob(0, 10, 32), "rotation", severity))
    angles = torch.atan2(turned[:, 0], turned[:, 1]) * 180 / math.pi
    torch.testing.assert_close(
        angles.abs(), torch.full((32,), float(DEGREES[severity - 1])).double(), atol=0.5, rtol=0
    )
    assert {bool(angle > 0) for angle in angles} == {True, False}
    torch.testing.assert_close(turned.norm(dim=1), torch.full((32,), 10.0).double(), atol=0.1, rtol=0)


@pytest.mark.parametrize("severity", LEVELS)
def test_scale_makes_larger_or_smaller(severity: int) -> None:
    mass, moved = middles(corrupted(blob(0, 6, 32), "scale", severity))
    larger, factor = moved[:, 1] > 6, FACTORS[severity - 1]
    assert 0 < int(larger.sum()) < 32
    wanted = torch.where(larger, 6 * factor, 6 / factor)
    torch.testing.assert_close(moved[:, 1], wanted.double(), atol=0.2, rtol=0)
    assert (mass[larger] / 16 / factor**2 - 1).abs().max() < 0.1


@pytest.mark.parametrize("severity", LEVELS)
def test_noise_has_its_deviation(severity: int) -> None:
    grey = split_of(torch.full((6, SIDE, SIDE, 3), 128, dtype=torch.uint8))
    images = corrupted(grey, "noise", severity).images.double()
    inside = images[(images > 0) & (images < 255)] - 128
    wanted = torch.randn(400_000, generator=torch.Generator().manual_seed(0)) * NOISE[severity - 1] * 255
    kept = wanted[(wanted > -127.5) & (wanted < 126.5)]
    assert float(inside.std()) == pytest.approx(float(kept.std()), rel=0.03)
    assert float(inside.mean()) == pytest.approx(float(kept.mean()), abs=1.5)


@pytest.mark.parametrize("severity", LEVELS)
def test_blur_spreads_by_its_deviation(severity: int) -> None:
    spread = [
        float(split.images[0, :, :, 0].double().sum(0) @ (torch.arange(SIDE) - SIDE / 2 + 0.5).double() ** 2)
        / float(split.images[0].double().sum())
        for split in (blob(0, 0), corrupted(blob(0, 0), "blur", severity))
    ]
    deviation = BLUR[severity - 1] * SIDE / BLURRED_SIDE
    line = torch.exp(-((torch.arange(-20, 21).double()) ** 2) / (2 * deviation**2))
    sampled = float((line * torch.arange(-20, 21).double() ** 2).sum() / line.sum())
    assert spread[1] - spread[0] == pytest.approx(sampled, abs=0.05)


@pytest.mark.parametrize("severity", LEVELS)
def test_contrast_shrinks_towards_the_mean(severity: int) -> None:
    before, after = (split.images.double() for split in (noise(), corrupted(noise(), "contrast", severity)))
    assert (after.mean((1, 2)) - before.mean((1, 2))).abs().max() < 0.1
    share = after.std((1, 2)) / before.std((1, 2))
    assert (share - CONTRAST[severity - 1]).abs().max() < 0.005


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_by_its_id_and_the_seed_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = noise(9)
    whole = corrupted(split, name, 3).images
    rows = torch.tensor([2, 7])
    assert torch.equal(corrupted(split.take(rows), name, 3).images, whole[rows])
    monkeypatch.setattr("data.corruptions.AT_ONCE", 4)
    assert torch.equal(corrupted(split, name, 3).images, whole)
    drawn = name not in ("blur", "contrast")
    assert torch.equal(corrupted(split, name, 3, seed=1).images, whole) != drawn
    assert torch.equal(corrupted(replace(split, ids=split.ids + 1), name, 3).images, whole) != drawn


def test_severities_share_what_is_drawn() -> None:
    directions = [middles(corrupted(blob(0, 0), "translation", severity))[1] for severity in (2, 5)]
    unit = [each / each.norm(dim=1, keepdim=True) for each in directions]
    torch.testing.assert_close(*unit, atol=0.02, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_split_is_a_split(name: str, channels: int) -> None:
    split = noise(channels=channels)
    found = corrupted(split, name, 1)
    assert found.images.shape == split.images.shape and found.images.dtype == torch.uint8
    assert found.images.is_contiguous() and not torch.equal(found.images, split.images)
    assert torch.equal(found.labels, split.labels) and torch.equal(found.ids, split.ids)
    assert found.boxes is None and found.groups is split.groups
    assert found.fingerprint not in ("made", corrupted(split, name, 2).fingerprint)
    assert corrupted(split, name, 0) is split


@pytest.mark.parametrize(
    ("name", "severity", "words"),
    [
        ("fog", 1, "expected a corruption of translation, .*, contrast; found 'fog'"),
        ("noise", 6, "expected a severity from 0 to 5, found 6"),
        ("noise", -1, "expected a severity from 0 to 5, found -1"),
    ],
)
def test_what_there_is_not_is_refused(name: str, severity: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        corrupted(noise(), name, severity)


def test_without_torchvision_there_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, FUNCTIONAL, None)
    with pytest.raises(SettingsError, match=r"torchvision for corruptions other than noise.*\[vision\]"):
        corrupted(noise(), "blur", 1)
    assert len(corrupted(noise(), "noise", 1)) == 4


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5])
def test_a_seed_that_no_generator_takes_is_refused(seed: Any) -> None:
    number = torch.tensor([0])
    split = Split(torch.full((1, 8, 8, 1), 99, dtype=torch.uint8), number, number, "")
    with pytest.raises(SettingsError, match="seed"):
        corrupted(split, "noise", 1, seed)
