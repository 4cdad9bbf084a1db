"""A network that begins with the features that a fit has learned."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from boed_tiny import pointer_dataset

import boed
from data.errors import SettingsError
from hardattn.loading import open_network
from hardattn.model.local_encoder import LocalGlimpse
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.warm_start import LearnedFeatures, learned_features

DATASET = pointer_dataset()
TINY = {"glimpses": 2, "iterations": 6, "width": 8, "trial_images": 8, "seed": 3}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    for posterior in ("glimpse-max", "glimpse-set"):
        boed.fit(DATASET, folder / posterior, combination=boed.Combination(posterior=posterior), **TINY)
    return folder


@pytest.fixture(scope="module")
def features(fitted: Path) -> LearnedFeatures:
    return learned_features(fitted / "glimpse-max")


def trained(folder: Path, features: LearnedFeatures | None, hidden: int = 16, encoder: str = "local") -> Path:
    options = {"hidden": hidden, "encoder": encoder, "batch_size": 8}
    return train(
        DATASET, folder, method="ram", glimpses=2, budget=Budget(epochs=0.1), features=features, **options
    )


def test_the_encoder_begins_with_them(features: LearnedFeatures, tmp_path: Path) -> None:
    one, other = (trained(tmp_path / name, its) for name, its in (("warm", features), ("cold", None)))
    warm, cold = (open_network(folder).network.what for folder in (one, other))
    assert isinstance(warm, LocalGlimpse) and isinstance(cold, LocalGlimpse)
    first = "layers.1.weight"  # of the first convolution: a few iterations move it by little
    learned = features.tensors[first]
    apart = [(network.local.state_dict()[first] - learned).abs().mean() for network in (warm, cold)]
    assert apart[0] < apart[1] / 5


def test_another_fit_is_another_run(features: LearnedFeatures, tmp_path: Path) -> None:
    folder = trained(tmp_path / "run", features)
    assert trained(folder, features) == folder
    others = replace(features, tensors={name: value + 1 for name, value in features.tensors.items()})
    with pytest.raises(Exception, match="features"):
        trained(folder, others)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": 20}, "take --hidden 16"), ({"encoder": "conv"}, "expected --encoder local")],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    features: LearnedFeatures, tmp_path: Path, options: dict[str, int | str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        trained(tmp_path / "run", features, **options)
    assert not (tmp_path / "run").exists()


def test_a_posterior_without_them_is_refused(fitted: Path) -> None:
    with pytest.raises(SettingsError, match="found glimpse-set; fit one of these"):
        learned_features(fitted / "glimpse-set")


def test_nothing_of_the_process_changes(features: LearnedFeatures, tmp_path: Path) -> None:
    state = torch.get_rng_state()
    trained(tmp_path / "run", features)
    assert torch.equal(state, torch.get_rng_state())
