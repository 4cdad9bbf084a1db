"""Files of approximations that are damaged, or that another program changed, are refused in one line."""

import json
from pathlib import Path

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset

import boed
from boed.approximations import Approximations
from boed.part_files import BANK, COMBINATION, POSTERIOR
from boed.posteriors.registry import POSTERIORS
from boed.saved import saved_combination
from boed.settings import FittedSettings
from data.errors import CheckpointError
from data.tensors import load_tensors, save_tensors

DATASET = pointer_dataset(train=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of approximations that have their bank with them."""
    settings = FittedSettings(dataset=DATASET.name, target=DATASET.target, glimpses=2, width=8)
    new = POSTERIORS[settings.posterior].new
    q = new(GEOMETRY, settings, PLACES, classes=len(DATASET.classes), attributes=1).eval()
    bank = DATASET["train"].take(torch.arange(20))
    Approximations(q, bank, PLACES, GEOMETRY, settings).save(tmp_path)
    return tmp_path


def one_line(error: pytest.ExceptionInfo[CheckpointError]) -> bool:
    return "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["{", "[]", "3", "\ufffe", '{"posterior": []}', '{"posterior": "gone"}', '{"colour": 1}']
)
def test_a_damaged_combination_is_refused(text: str, folder: Path) -> None:
    (folder / COMBINATION).write_text(text)
    with pytest.raises(CheckpointError, match=rf"expected .* in .*{COMBINATION}.*, found") as error:
        boed.load(folder)
    assert one_line(error)


def test_a_combination_is_read(folder: Path) -> None:
    assert saved_combination(folder / COMBINATION) == boed.Combination()
    (folder / COMBINATION).write_text(json.dumps({"score": "entropy"}))
    assert saved_combination(folder / COMBINATION) == boed.Combination(score="entropy")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        *((POSTERIOR, name) for name in ("settings", "geometry", "train_fingerprint", "places", "bank_ids")),
        *((BANK, name) for name in ("images", "labels", "ids", "fingerprint")),
    ],
)
def test_what_is_missing_is_named(file: str, name: str, folder: Path) -> None:
    tensors, about = load_tensors(folder / file, "boed fit")
    tensors.pop(name, None)
    about.pop(name, None)
    save_tensors(folder / file, tensors, about)
    with pytest.raises(CheckpointError, match=rf"{name}.* in .*{file}, found no {name}; .*boed fit") as error:
        boed.load(folder)
    assert one_line(error)


def test_a_header_that_is_no_object_is_refused(folder: Path) -> None:
    save_tensors(folder / POSTERIOR, load_tensors(folder / POSTERIOR, "boed fit")[0], ["settings"])
    with pytest.raises(CheckpointError, match="list instead of an object"):
        boed.load(folder)
