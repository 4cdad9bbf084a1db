"""What is saved of the approximations, and which completion their beliefs have."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset
from torch import nn

import boed.posteriors.avp_cnn
from boed.approximations import FILE, Approximations
from boed.completions.exact import ExactCompletion
from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.bank_belief import BankBelief
from boed.posteriors.backbones import small_network
from boed.posteriors.registry import POSTERIORS
from boed.settings import FittedSettings
from data.dataset import Split
from data.errors import CheckpointError
from data.tensors import load_tensors, save_tensors

DATASET = pointer_dataset(train=60)
SETTINGS = FittedSettings(
    dataset=DATASET.name,
    target=DATASET.target,
    posterior="avp-cnn",
    glimpses=2,
    resolution=12,
    width=24,
    backbone="densenet121",
    pretrained=True,
)


def unfitted(settings: FittedSettings) -> Approximations:
    torch.manual_seed(0)
    kind = POSTERIORS[settings.posterior]
    q = kind.new(GEOMETRY, settings, PLACES, classes=len(DATASET.classes), attributes=1).eval()
    return Approximations(q, DATASET["train"].take(torch.arange(20)), PLACES, GEOMETRY, settings)


def test_published_weights_are_not_fetched_to_be_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are where a fit starts from; a fitted posterior has its own, and its settings as they were."""
    asked = list[bool]()

    def backbone(*_: Any, pretrained: bool, **__: Any) -> tuple[nn.Module, int]:
        asked.append(pretrained)
        return small_network(2, 12, 4)

    monkeypatch.setattr(boed.posteriors.avp_cnn, "make_backbone", backbone)
    saved = unfitted(SETTINGS)
    for value in saved.q.parameters():
        value.data.add_(1)  # fitted
    saved.save(tmp_path)
    loaded = Approximations.load(tmp_path, DATASET)
    assert asked == [True, False]
    assert loaded.settings == SETTINGS
    assert loaded.digest() == saved.digest()


def belief_of(learned: Approximations) -> BankBelief:
    belief = learned.belief(learned.embedded(), torch.zeros(3, 2), 4, excluded=None)
    assert isinstance(belief, BankBelief)
    return belief


def test_completions_come_from_the_bank_as_it_is() -> None:
    learned = unfitted(replace(SETTINGS, posterior="glimpse-set"))
    assert type(belief_of(learned).completion) is RetrievalCompletion
    other: Split = DATASET["train"].take(torch.arange(20, 30))
    assert belief_of(replace(learned, bank=other)).completion.bank is other


def test_a_completion_of_its_own_stays_with_what_was_learned() -> None:
    learned = unfitted(replace(SETTINGS, posterior="glimpse-set"))
    learned.retrieval = ExactCompletion(learned.bank, GEOMETRY.retina())
    assert belief_of(learned).completion is learned.retrieval
    assert belief_of(replace(learned, weights=(1.0, 1.0))).completion is learned.retrieval


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    saved = unfitted(replace(SETTINGS, posterior="glimpse-set"))
    saved.save(tmp_path)
    tensors, about = load_tensors(tmp_path / FILE, "boed fit")
    older = {name.replace("head.linear", "head"): value for name, value in tensors.items()}
    save_tensors(tmp_path / FILE, older, about)
    with pytest.raises(
        CheckpointError, match=r"expected weights of this GlimpseSetPosterior .*fit again"
    ) as error:
        Approximations.load(tmp_path, DATASET)
    assert "\n" not in str(error.value)
