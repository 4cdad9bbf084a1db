"""Ground-truth saliency: maps of data sets and files, regions that hold the most of them, the store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from PIL import Image
from reproduce_tiny import write_mnist

from data.dataset import SPLITS
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.registry import load
from data.saliency import saliency_of
from hardattn.cli.main import main
from supervision.saliency import salient_sequences, write_salient
from supervision.store import SequenceStore

GEOMETRY = Geometry(16, 16, 1, glimpse_size=4, per_axis=7, first_glance=True)
GRID = GEOMETRY.grid().locations


def squares(*corners: tuple[int, int, int]) -> torch.Tensor:
    """(1, 16, 16) saliency of squares (row, col, brightness) of 4 pixels."""
    maps = torch.zeros(1, 16, 16)
    for row, col, brightness in corners:
        maps[0, row : row + 4, col : col + 4] = brightness
    return maps


def test_regions_are_the_squares_the_brightest_first_and_then_anew() -> None:
    places, maps = salient_sequences(squares((4, 8, 100), (12, 0, 200)), GEOMETRY, 5)
    assert places[0].tolist() == [[0, 0, 16], [12, 0, 4], [4, 8, 4], [12, 0, 4], [4, 8, 4]]
    assert maps.shape == (1, 5, 49) and torch.equal(maps[:, 0], maps[:, 1])
    for t in range(1, 5):
        assert torch.equal(GRID[maps[0, t].argmin()], places[0, t]) and maps[0, t].min() == 0


def test_a_map_is_one_less_the_share_of_what_the_best_square_holds() -> None:
    _, maps = salient_sequences(squares((4, 4, 100)), GEOMETRY, 2)
    row, col = (torch.arange(49) // 7 * 2, torch.arange(49) % 7 * 2)
    shown = (4 - (row - 4).abs()).clamp(min=0) * (4 - (col - 4).abs()).clamp(min=0) / 16
    torch.testing.assert_close(maps[0, 1], 1 - shown)


def test_where_nothing_is_salient_all_is() -> None:
    _, maps = salient_sequences(torch.zeros(1, 16, 16), GEOMETRY, 2)
    assert maps.abs().max() == 0


@pytest.mark.parametrize("name", ["digits", "mnist", "translated-mnist", "cluttered-mnist"])
@pytest.mark.parametrize("split", SPLITS)
def test_digits_know_their_pixels(name: str, split: str, tmp_path: Path) -> None:
    """They are those of the image but for clutter, and lie within the box."""
    root = None if name == "digits" else write_mnist(tmp_path / "mnist")
    dataset = load(name, root, **({"placements": 2} if "ed-" in name else {}))
    images = dataset[split]
    rows = torch.tensor([len(images) - 1, 0])
    maps, pixels = saliency_of(dataset, split).of(rows), images.images[rows, :, :, 0]
    assert maps.dtype == torch.uint8 and maps.shape == pixels.shape
    assert (maps <= pixels).all() and (maps > 0).any()
    if "clutter" not in name and name != "digits":
        assert torch.equal(maps, pixels)
    if images.boxes is not None:
        for saliency, (top, left, bottom, right) in zip(maps, images.boxes[rows].tolist(), strict=True):
            assert saliency.sum() == saliency[top:bottom, left:right].sum()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two classes of grey photographs of 40 x 30, and masks of their left or right half."""
    for part in ("train", "val"):
        for number, name in enumerate(("a", "b")):
            for folder in ("images", "masks"):
                (tmp_path / folder / part / name).mkdir(parents=True)
            for n in range(40 if part == "train" else 3):
                Image.new("RGB", (40, 30), (99, 99, 99)).save(tmp_path / "images" / part / name / f"{n}.jpg")
                mask = np.zeros((30, 40), np.uint8)
                mask[:, 20 * number : 20 * number + 20] = 255
                Image.fromarray(mask).save(tmp_path / "masks" / part / name / f"{n}.png")
    return tmp_path


@pytest.mark.parametrize("split", SPLITS)
def test_masks_in_files_are_those_of_their_photographs(split: str, photographs: Path) -> None:
    dataset = load("folder", photographs / "images", size=32)
    maps = saliency_of(dataset, split, photographs / "masks").of(torch.arange(len(dataset[split])))
    assert maps.shape == (len(dataset[split]), 32, 32)
    left = maps[:, :, :14].float().mean((1, 2)) > maps[:, :, 18:].float().mean((1, 2))
    assert torch.equal(left, dataset[split].labels == 0)
    assert maps[:, 0, 0].tolist() == [255 if label == 0 else 0 for label in dataset[split].labels.tolist()]


def test_a_missing_mask_and_one_that_is_no_image_are_named(photographs: Path) -> None:
    dataset = load("folder", photographs / "images", size=32)
    mask = photographs / "masks" / "val" / "a" / "1.png"
    before = saliency_of(dataset, "test", photographs / "masks").digest
    mask.write_bytes(b"no image")
    maps = saliency_of(dataset, "test", photographs / "masks")
    assert maps.digest != before
    with pytest.raises(DataError, match="expected a readable image, found .*1.png"):
        maps.of(torch.arange(6))
    mask.unlink()
    with pytest.raises(DataError, match="expected the saliency .*val/a/1.png, found none"):
        saliency_of(dataset, "test", photographs / "masks")


def test_data_that_know_nothing_are_refused(photographs: Path) -> None:
    with pytest.raises(SettingsError, match="expected --saliency DIR with folder"):
        saliency_of(load("folder", photographs / "images"), "test")
    with pytest.raises(
        SettingsError, match="expected photographs in files with --saliency DIR, found digits"
    ):
        saliency_of(load("digits"), "test", photographs)


def test_a_store_that_was_stopped_is_taken_up_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = load("digits")
    maps, ids = saliency_of(digits, "valid"), digits["valid"].ids[:10]
    whole = write_salient(tmp_path / "a.h5", digits, "valid", maps, glimpses=3, ids=ids)
    monkeypatch.setattr("supervision.saliency.BLOCK", 4)
    calls = list[int]()

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return salient_sequences(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("supervision.saliency.salient_sequences", interrupted)
        write_salient(tmp_path / "b.h5", digits, "valid", maps, glimpses=3, ids=ids)
    assert int(SequenceStore.read(tmp_path / "b.h5").done.sum()) == 4
    parts = write_salient(tmp_path / "b.h5", digits, "valid", maps, glimpses=3, ids=ids)
    assert torch.equal(whole.load().locations, parts.load().locations)
    assert torch.equal(whole.load().epe_map, parts.load().epe_map)
    assert whole.geometry.first_glance


def test_the_command_makes_what_the_method_is_regressed_on(photographs: Path, tmp_path: Path) -> None:
    data = ["--dataset", "folder", "--data-root", str(photographs / "images"), "--image-size", "32"]
    words = ["--run", str(tmp_path / "run"), "--split", "train", "--glimpses", "3"]
    made = CliRunner().invoke(main, ["saliency", *data, *words, "--saliency", str(photographs / "masks")])
    assert made.exit_code == 0, made.output
    assert "hardattn train --method glimpsenet --supervise\n" in made.stdout
    words = ["--method", "glimpsenet", "--supervise", "--epochs", "1", "--glimpses", "3", "--hidden", "8"]
    trained = CliRunner().invoke(main, ["train", *data, "--run", str(tmp_path / "run"), *words])
    assert trained.exit_code == 0, trained.output
    refused = CliRunner().invoke(main, ["saliency", *data, "--run", str(tmp_path), "--glimpses", "3"])
    assert_refused(refused, "expected --saliency DIR with folder")


def test_too_few_glimpses_and_several_sides_are_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["saliency", "--run", str(tmp_path), "--glimpses", "1"])
    assert_refused(refused, "at least 2 glimpses")
    digits = load("digits")
    wide = replace(digits.geometry, sides=(8, 16))
    with pytest.raises(SettingsError, match="of one side for saliency, found"):
        write_salient(
            tmp_path / "s.h5", digits, "test", saliency_of(digits, "test"), glimpses=2, geometry=wide
        )
    assert not list(tmp_path.iterdir())
