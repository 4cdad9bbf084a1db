"""Which images a training imitates: of which split, without copies, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset

from data.dataset import DataSet, Split
from data.errors import StoreError
from data.logs import read_log
from data.sequences import Sequences
from hardattn.recording import record
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.guidance import guided_images
from supervision.store import SequenceStore

DATASET = tiny_dataset()


def stored(path: Path, part: str, dataset: DataSet = DATASET, some: int | None = None) -> SequenceStore:
    """Every image of a split looks at where its square may be and at two other places."""
    split, grid = dataset[part], dataset.geometry.grid()
    settings = {"dataset": "tiny", "target": "label", "fingerprint": split.fingerprint}
    ids = split.ids[:some]
    store = SequenceStore.write_to(path, settings, ids, 3, torch.zeros(0, 3).long())
    nothing = torch.zeros(len(ids), 3)
    places = grid.locations[torch.tensor([4, 6, 9])].expand(len(ids), -1, -1)
    store.write(torch.arange(len(ids)), Sequences(places, nothing, torch.zeros(len(ids), 4), nothing))
    return store


@pytest.mark.parametrize("part", ["design", "train"])
def test_all_images_of_a_split_are_the_split_itself(tmp_path: Path, part: str) -> None:
    guided = guided_images(DATASET, stored(tmp_path / "s.h5", part), GEOMETRY, 3, None, "categorical")
    assert guided is not None and guided[0] is DATASET[part]
    assert guided[1].tolist() == [[[4, 0, 4], [4, 8, 4], [8, 4, 4]]] * len(DATASET[part])


def test_some_images_are_a_growing_sample_of_those_with_a_sequence(tmp_path: Path) -> None:
    store, train = stored(tmp_path / "s.h5", "train", some=9), DATASET["train"]
    chosen = [guided_images(DATASET, store, GEOMETRY, 2, count, "categorical") for count in (5, 6)]
    few, more = (guided for guided in chosen if guided is not None)
    assert few[1].shape == (5, 2, 3) and len(few[0]) == 5
    assert set(few[0].ids.tolist()) < set(more[0].ids.tolist()) <= set(train.ids[:9].tolist())
    assert torch.equal(few[0].images, train.images[torch.searchsorted(train.ids, few[0].ids)])


def test_boxes_are_kept(tmp_path: Path) -> None:
    boxes = torch.arange(48)[:, None].expand(-1, 4)
    dataset = DataSet(
        "tiny", "label", ("left", "right"), GEOMETRY, 3,
        {"train": lambda: replace(DATASET["train"], boxes=boxes)},
    )  # fmt: skip
    store = stored(tmp_path / "s.h5", "train", some=9)
    guided = guided_images(dataset, store, GEOMETRY, 3, None, "categorical")
    assert guided is not None and guided[0].boxes is not None
    assert torch.equal(guided[0].boxes, boxes[:9])


@pytest.mark.parametrize("part", ["valid", "test"])
def test_sequences_of_images_that_judge_are_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(StoreError, match="fingerprint"):
        guided_images(DATASET, stored(tmp_path / "s.h5", part), GEOMETRY, 3, None, "categorical")


@pytest.mark.parametrize("method", ["ps-nogs", "nogs-all"])
def test_training_images_are_held_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    splits = list[Split]()
    monkeypatch.setattr("hardattn.training.learner.look_of", lambda pool, *_: splits.extend(pool.splits))
    monkeypatch.setattr("hardattn.runs.run_to_the_end", lambda *_: None)
    store = stored(tmp_path / "s.h5", "train")
    train(DATASET, tmp_path / "run", method=method, store=store, budget=Budget(epochs=1), device="cpu")
    assert len(splits) == 2 and all(split is DATASET["train"] for split in splits)


@pytest.mark.parametrize("method", ["ps-nogs", "nogs-all"])
def test_a_training_imitates_sequences_of_its_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """All of them look at the same three places, in order: so does the network then."""
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 3)
    store = stored(tmp_path / "s.h5", "train")
    folder = train(
        DATASET, tmp_path / "run", method=method, store=store, budget=Budget(epochs=40), device="cpu",
        batch_size=16, hidden=16, learning_rate=1e-2,
    )  # fmt: skip
    losses = [line["loss_imitation"] for line in list(read_log(folder / checkpoint.LOG))[1:]]
    assert losses[-1] < 0.1 * losses[0]
    places = record(folder, dataset=DATASET, device="cpu").load().locations
    assert places.unique(dim=0).tolist() == [[[4, 0, 4], [4, 8, 4], [8, 4, 4]]]
