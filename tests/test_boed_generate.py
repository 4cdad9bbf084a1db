import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import pointer_dataset
from torch import Tensor

import boed.generation
from boed.approximations import Approximations
from boed.generation import candidates_of, design_settings, generate
from boed.search.designer import Designer
from data.errors import SettingsError, StoreError
from data.sample import choose_images
from supervision.store import SequenceStore

STEPS = 3


@pytest.fixture(autouse=True)
def _blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boed.generation, "BLOCK", 7)


def store_at(
    path: Path,
    learned: Approximations,
    source: str,
    count: int | None = None,
    seed: int = 0,
    steps: int = STEPS,
    **options: Any,
) -> SequenceStore:
    dataset = pointer_dataset()
    ids = choose_images(dataset["design"], count)
    settings = design_settings(dataset, Designer(learned, **options), source=source, seed=seed)
    return SequenceStore.write_to(path, settings, ids, steps, candidates_of(learned, source))


def run(path: Path, learned: Approximations, source: str = "design", **options: Any) -> bytes:
    store = store_at(path, learned, source, **options)
    generate(Designer(learned), pointer_dataset()["design"], store, glimpses=STEPS, source=source)
    return path.read_bytes()


@pytest.mark.parametrize("source", ["design", "random"])
@pytest.mark.parametrize("blocks", [0, 3])
def test_an_interrupted_run_ends_with_the_same_bytes(
    tmp_path: Path,
    pointer_fit: Approximations,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    blocks: int,
) -> None:
    straight = run(tmp_path / "straight.h5", pointer_fit, source)
    write, calls = SequenceStore.write, list[Tensor]()

    def interrupted(self: SequenceStore, rows: Tensor, sequences: Any) -> None:
        if len(calls) == blocks:
            raise KeyboardInterrupt
        calls.append(rows)
        write(self, rows, sequences)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceStore, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed.h5", pointer_fit, source)
    assert SequenceStore.read(tmp_path / "resumed.h5").done.sum() == 7 * blocks
    monkeypatch.setattr(boed.generation, "BLOCK", 4)  # also in other blocks
    assert run(tmp_path / "resumed.h5", pointer_fit, source) == straight
    assert run(tmp_path / "resumed.h5", pointer_fit, source) == straight  # nothing is left to do


def test_more_images_later_give_the_same_sequences(tmp_path: Path, pointer_fit: Approximations) -> None:
    run(tmp_path / "grown.h5", pointer_fit, count=12)
    before = SequenceStore.read(tmp_path / "grown.h5")
    run(tmp_path / "grown.h5", pointer_fit)
    run(tmp_path / "whole.h5", pointer_fit)
    grown, whole = (SequenceStore.read(tmp_path / name) for name in ("grown.h5", "whole.h5"))
    assert before.done.sum() == 12 and grown.done.sum() == 50
    assert torch.equal(grown.ids, whole.ids)
    one, other = grown.load(), whole.load()
    assert torch.equal(one.locations, other.locations) and torch.equal(one.epe_map, other.epe_map)
    assert torch.equal(one.entropy, other.entropy) and torch.equal(one.epe, other.epe)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 4}, r'design = .*"seed": 4.*found.*"seed": 0'),
        ({"source": "fixed-order"}, r'design = .*"fixed-order".*found.*"source": "design"'),
        ({"steps": 2}, "with 2 glimpses .* found 3"),
        ({"completions": 7}, r'design = .*"completions": 7.*found.*"completions": 100'),
        ({"search": "beam"}, r'design = .*"search": "beam".*found.*"search": "greedy"'),
        ({"shrink": False}, r'design = .*"shrink": false.*found.*"shrink": true'),
        ({"coarse": True}, r'design = .*"coarse": true.*found.*"coarse": false'),
    ],
)
def test_other_settings_are_refused_and_nothing_is_written(
    tmp_path: Path, pointer_fit: Approximations, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "sequences.h5"
    before = run(path, pointer_fit, count=5)
    with pytest.raises(StoreError, match=message):
        store_at(path, pointer_fit, **{"source": "design", **changed})
    assert path.read_bytes() == before


def test_other_approximations_are_refused(tmp_path: Path, pointer_fit: Approximations) -> None:
    path = tmp_path / "sequences.h5"
    run(path, pointer_fit, count=5)
    q = copy.deepcopy(pointer_fit.q)
    q.state_dict()["head.linear.bias"].add_(1e-3)
    for change in ({"q": q}, {"bank": pointer_fit.bank.take(torch.arange(50))}):
        with pytest.raises(StoreError, match="approximations = "):
            store_at(path, replace(pointer_fit, **change), "design")
    with pytest.raises(StoreError, match=r"weights = \[0.5, 0.5, 0.5\]"):
        store_at(path, replace(pointer_fit, weights=(0.5,) * STEPS), "design")
    store_at(path, replace(pointer_fit), "design")


@pytest.mark.parametrize("glimpses", [0, 4, -1])
def test_impossible_glimpses_are_refused(tmp_path: Path, pointer_fit: Approximations, glimpses: int) -> None:
    store = store_at(tmp_path / "sequences.h5", pointer_fit, "design")
    with pytest.raises(SettingsError, match=f"expected 1 to 3 glimpses, as fitted, found {glimpses}"):
        generate(Designer(pointer_fit), pointer_dataset()["design"], store, glimpses=glimpses)
    with pytest.raises(SettingsError, match=r"expected a source of .*; found 'saliency'"):
        generate(Designer(pointer_fit), pointer_dataset()["design"], store, glimpses=3, source="saliency")


def test_fewer_images_are_part_of_more() -> None:
    split = pointer_dataset()["design"]
    assert choose_images(split, None).tolist() == split.ids.tolist()
    some = choose_images(split, 5)
    assert len(some) == 5 and (some.diff() > 0).all()
    assert set(some.tolist()) <= set(choose_images(split, 6).tolist())
    for count in range(1, 51):
        assert len(choose_images(split, count).unique()) == count
    for count in (0, -3, 51):
        with pytest.raises(SettingsError, match=f"expected 1 to 50 images, .* found {count}"):
            choose_images(split, count)
