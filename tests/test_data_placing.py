"""Placements that no choice has met: the same images and labels, elsewhere, in the splits that are judged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from faces_tiny import ANNOTATED, annotate
from reproduce_tiny import write_mnist

import boed.cli.main
import hardattn.cli.main
from data.dataset import SPLITS, DataSet
from data.errors import SettingsError, StoreError
from data.layouts import CELEBAHQ_IMAGES
from data.placing import JUDGED
from data.registry import load, reopen
from supervision.parts import write_parts

Write = Callable[..., None]


def opened(name: str, folder: Path, write_photo: Write, **options: object) -> DataSet:
    """A data set of canvases."""
    if name == "digits":
        return load(name, **options)
    if name == "cluttered-mnist":
        return load(name, folder if folder.exists() else write_mnist(folder), canvas=40, **options)
    if not folder.exists():
        folder.mkdir()
        ids = [*ANNOTATED, 2001]
        annotate(folder, ids, [1, -1] * 5)
        for i in ids:
            write_photo(folder / CELEBAHQ_IMAGES / f"{i}.jpg", i, (64, 64))
    shown = {"attribute": "Male", "scatter": True, "canvas": 64, "face_widths": (20, 40)}
    return load("celebahq", folder, **shown, **options)


@pytest.mark.parametrize("name", ["digits", "cluttered-mnist", "celebahq"])
def test_a_canvas_seed_moves_what_is_judged_and_nothing_else(
    name: str, tmp_path: Path, write_photo: Write
) -> None:
    before, now = (opened(name, tmp_path / "images", write_photo, canvas_seed=seed) for seed in (None, 1))
    assert before.origin is not None and now.origin is not None
    for split in SPLITS:
        old, new = before[split], now[split]
        assert torch.equal(old.ids, new.ids) and torch.equal(old.labels, new.labels)
        assert (old.fingerprint != new.fingerprint) == (split in JUDGED)
        if split not in JUDGED:
            assert torch.equal(old.images, new.images)
            continue
        assert old.boxes is not None and new.boxes is not None
        assert float((old.boxes != new.boxes).any(1).double().mean()) > 0.8
    assert "canvas_seed" not in before.origin and now.origin["canvas_seed"] == 1
    again = reopen(now.origin, None, "a file")
    assert again["test"].fingerprint == now["test"].fingerprint
    zero = opened(name, tmp_path / "images", write_photo, canvas_seed=0)
    assert zero["test"].fingerprint == before["test"].fingerprint


def test_new_placements_are_those_of_no_other_seed() -> None:
    """Seed 1 of all splits, canvas seed 1 and canvas seed 2 are not the same draws."""
    seeds: list[dict[str, int]] = [{"seed": 1}, {"canvas_seed": 1}, {"canvas_seed": 2}]
    assert len({load("digits", **options)["test"].fingerprint for options in seeds}) == 3


def test_the_object_is_the_same_one_elsewhere() -> None:
    alone = []
    for seed in (0, 5):
        digits = load("digits", canvas_seed=seed)
        assert digits.saliency is not None
        alone.append(digits.saliency("test")(torch.arange(40)).flatten(1))
    assert torch.equal(*(shown.sort(1).values for shown in alone)) and not torch.equal(*alone)


def test_sequences_of_other_placements_are_refused(tmp_path: Path) -> None:
    old, new = load("digits"), load("digits", canvas_seed=1)
    store = write_parts(tmp_path / "a.h5", old, "design", glimpses=2, origin=old.origin)
    with pytest.raises(StoreError, match="fingerprint"):
        write_parts(tmp_path / "a.h5", new, "design", glimpses=2, origin=new.origin)
    write_parts(tmp_path / "b.h5", new, "design", glimpses=2, origin=new.origin)
    refused = CliRunner().invoke(boed.cli.main.main, ["compare", str(store.path), str(tmp_path / "b.h5")])
    assert_refused(refused, "expected stores of the same fingerprint")


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_impossible_seeds_are_refused(seed: object, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="canvas_seed .* from 0 on, found"):
        load("digits", canvas_seed=seed)
    with pytest.raises(SettingsError, match="canvas_seed of scattered faces .* found"):
        load("celebahq", tmp_path, scatter=True, canvas_seed=seed)


def test_a_training_that_is_there_is_not_taken_for_one_at_other_placements(tmp_path: Path) -> None:
    """They learn from the same images, and are tested on others."""
    shared = ["train", "--method", "random", "--hidden", "8", "--epochs", "0.01", "--device", "cpu"]
    words = [*shared, "--run", str(tmp_path)]
    for _ in range(2):
        assert CliRunner().invoke(hardattn.cli.main.main, [*words, "--canvas-seed", "1"]).exit_code == 0
    assert_refused(CliRunner().invoke(hardattn.cli.main.main, words), "canvas_seed")
