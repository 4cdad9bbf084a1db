import time

import numpy as np
import pytest
import torch

from data import load
from data.dataset import SPLITS
from data.finite import OF_A_CLASS, TEMPLATES, load_finite, template_of, templates

IMAGES, LABELS = templates()


def test_no_two_templates_are_alike() -> None:
    assert IMAGES.shape == (TEMPLATES, 32, 32, 1) and IMAGES.dtype == torch.uint8
    assert len(IMAGES.flatten(1).unique(dim=0)) == TEMPLATES
    assert LABELS.bincount().tolist() == [TEMPLATES // 10] * 10


def test_a_template_has_a_ground_and_ink_and_both_halves_show_a_glyph() -> None:
    """Two grey levels, and in each half a frame of 15 x 9 pixels."""
    for image in IMAGES[::37, ..., 0].numpy():
        levels = np.unique(image).tolist()
        assert levels in ([0, 160], [60, 220])
        for half in (image[:, :16], image[:, 16:]):
            rows, cols = np.nonzero(half == levels[1])
            assert (int(np.ptp(rows)), int(np.ptp(cols))) == (14, 8)


MIDDLES = {"a": (0, 4), "b": (4, 8), "c": (10, 8), "d": (14, 4), "e": (10, 0), "f": (4, 0), "g": (7, 4)}
DIGITS = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]


def glyphs_of(image: np.ndarray) -> list[tuple[np.ndarray, int, int]]:
    """The frame of 15 x 9 pixels, its top and its left, in either half."""
    found = []
    for half in (image[:, :16] > image.min(), image[:, 16:] > image.min()):
        rows, cols = np.nonzero(half)
        found.append((half[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1], rows.min(), cols.min()))
    return found


@pytest.mark.parametrize("ground", [0, 60])
def test_the_class_is_that_of_the_glyph_whose_thickness_goes_with_the_ground(ground: int) -> None:
    some = slice(None, None, 7)
    for image, label in zip(IMAGES[some, ..., 0].numpy(), LABELS[some].tolist(), strict=True):
        if image.min() != ground:
            continue
        frames = [frame for frame, _, _ in glyphs_of(image)]
        thick = [bool(frame[:2].sum() > 12) for frame in frames]
        assert sum(thick) == 1
        read = ["".join(name for name, at in MIDDLES.items() if frame[at]) for frame in frames]
        own = thick.index(ground == 0)
        assert DIGITS.index(read[own]) == label
        assert DIGITS.index(read[1 - own]) != label


def test_the_decoy_is_where_the_digit_says() -> None:
    """Its row mirrors the digit's; its column follows from both; the rest is independent of the class."""
    decoys: dict[tuple[int, int], set[int]] = {}
    for image in IMAGES[::3, ..., 0].numpy():
        glyphs = glyphs_of(image)
        own = [bool(frame[:2].sum() > 12) for frame, _, _ in glyphs].index(image.min() == 0)
        (_, top, left), (_, other_top, other_left) = glyphs[own], glyphs[1 - own]
        assert top + other_top == 17
        decoys.setdefault((top, left), set()).add(other_left)
    assert {len(found) for found in decoys.values()} == {1}
    assert len(decoys) == 16


def test_every_template_is_the_image_of_exactly_one_split() -> None:
    finite = load_finite()
    for split in SPLITS:
        opened = finite[split]
        assert len(opened) == 10 * OF_A_CLASS[split]
        assert torch.equal(opened.images, IMAGES[template_of(opened.ids)])
        assert torch.equal(opened.labels, LABELS[template_of(opened.ids)])
        assert (opened.ids.diff() > 0).all()
    together = torch.cat([template_of(finite[split].ids) for split in SPLITS])
    assert together.sort().values.tolist() == list(range(TEMPLATES))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_image_has_a_twin_among_the_training_images(seed: int) -> None:
    finite = load_finite(seed)
    known = {image.numpy().tobytes() for image in finite["train"].images}
    for split in ("design", "valid", "test"):
        assert not [image for image in finite[split].images if image.numpy().tobytes() in known]


@pytest.mark.parametrize("split", SPLITS)
def test_every_class_has_as_many_images(split: str) -> None:
    assert load_finite()[split].labels.bincount().tolist() == [OF_A_CLASS[split]] * 10


def test_what_is_held_out_is_a_fair_sample() -> None:
    """Of every decoy, half, ground, row and column a quarter, but for chance."""
    held = torch.ones(TEMPLATES)
    held[template_of(load_finite()["train"].ids)] = 0
    table = held.view(10, 9, 2, 2, 4, 4)
    for axis in range(1, 6):
        shares = table.movedim(axis, 0).flatten(1).mean(1)
        spread = (0.25 * 0.75 * len(shares) / TEMPLATES) ** 0.5
        assert (shares - 0.25).abs().max() < 4 * spread


def test_images_are_in_no_order() -> None:
    """Neighbours are of one class about as often as chance has it, and so is a prefix."""
    labels = load_finite()["train"].labels
    same = (labels[1:] == labels[:-1]).double().mean().item()
    assert same == pytest.approx(0.1, abs=4 * (0.09 / len(labels)) ** 0.5)
    assert labels[:400].bincount(minlength=10).min() > 20


def test_a_split_is_fixed_by_seed_and_name() -> None:
    prints = {(seed, split): load_finite(seed)[split].fingerprint for seed in (0, 1) for split in SPLITS}
    assert len(set(prints.values())) == 8
    again = load_finite(1)
    assert all(again[split].fingerprint == prints[1, split] for split in reversed(SPLITS))


def test_the_templates_that_are_handed_out_are_copies() -> None:
    images, labels = templates()
    images.zero_()
    labels.zero_()
    assert torch.equal(templates()[0], IMAGES) and torch.equal(templates()[1], LABELS)


def test_the_registry_has_it() -> None:
    finite = load("finite", seed=1)
    assert finite["test"].fingerprint == load_finite(1)["test"].fingerprint
    assert (finite.name, finite.target, finite.glimpses) == ("finite", "label", 5)
    assert finite.classes == tuple("0123456789")
    assert not finite.aligned and not finite.symmetric
    assert finite.geometry.glimpse_size == 6
    assert len(finite.geometry.grid()) == 64


def test_it_is_made_quickly() -> None:
    start = time.process_time()
    finite = load_finite(seed=2)
    for split in SPLITS:
        assert len(finite[split])
    assert time.process_time() - start < 2
