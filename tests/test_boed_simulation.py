"""Tasks from generative models in Pyro, and designs for them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from pyro.distributions import Bernoulli, Categorical, Normal, Uniform
from torch import Tensor

import boed
import boed.simulation
from boed.simulation import simulated
from data.dataset import SPLITS
from data.errors import DataError, GlimpseError, SettingsError
from data.geometry import Geometry
from data.registry import load

GEOMETRY = Geometry(12, 12, 1, glimpse_size=4, per_axis=3)


def told_in_a_corner() -> None:
    """The label is the brightness of the last corner; elsewhere there is noise."""
    label = pyro.sample("label", Categorical(torch.tensor([0.3, 0.7])))
    mean = torch.full((12, 12), 0.5)
    here = torch.zeros(12, 12)
    here[8:, 8:] = 0.4
    mean = mean + here * (2 * label - 1)[..., None, None]
    pyro.sample("image", Normal(mean, 0.05).to_event(2))


def flat(label: Any = 0, image: Any = None) -> Callable[[], None]:
    """A model of these values."""

    def model() -> None:
        for name, value in (("label", label), ("image", torch.rand(6, 6) if image is None else image)):
            pyro.deterministic(name, torch.as_tensor(value))

    return model


@pytest.mark.parametrize("parallel", [False, True])
def test_images_are_draws_of_the_model(parallel: bool) -> None:
    task = simulated(told_in_a_corner, images=400, parallel=parallel, classes=["dark", "bright"])
    images = torch.cat([task[split].images for split in SPLITS]).float() / 255
    labels = torch.cat([task[split].labels for split in SPLITS])
    assert images.shape == (400, 12, 12, 1) and task.classes == ("dark", "bright")
    assert labels.float().mean().item() == pytest.approx(0.7, abs=0.08)
    corner, rest = images[:, 8:, 8:, 0], images[:, :8, :, 0]
    assert torch.equal((corner.mean((1, 2)) > 0.5).long(), labels)
    assert rest.std().item() == pytest.approx(0.05, rel=0.1)
    assert rest.mean().item() == pytest.approx(0.5, abs=0.01)
    assert len(images.flatten(1).unique(dim=0)) == 400


def test_draws_are_fixed_by_the_seed_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    tasks = [simulated(told_in_a_corner, images=60, seed=seed, parallel=True) for seed in (0, 0, 1)]
    assert torch.get_rng_state().equal(before)
    assert tasks[0].fingerprint() == tasks[1].fingerprint() != tasks[2].fingerprint()


def test_more_than_are_drawn_at_once_are_not_drawn_twice() -> None:
    task = simulated(told_in_a_corner, images=1100, parallel=True)
    images = torch.cat([task[split].images for split in SPLITS])
    assert len(images.flatten(1).unique(dim=0)) == 1100


def test_values_outside_are_cut_off_and_labels_may_be_floating_point() -> None:
    def model() -> None:
        label = pyro.sample("label", Bernoulli(torch.tensor(0.5)))
        pyro.deterministic("image", torch.tensor([[[-0.2, 0.5, 1.3]]]).expand(6, 6, 3) * label.clamp(min=0.5))

    images = simulated(model, images=60)["train"].images
    assert images.shape[1:] == (6, 6, 3)
    assert {tuple(pixel) for pixel in images[:, 0, 0].tolist()} == {(0, 128, 255), (0, 64, 166)}


def test_a_model_is_fitted_as_its_draws_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boed.simulation, "simulated", partial(simulated, images=200))
    some = {"iterations": 24, "glimpses": 2, "seed": 3, "geometry": GEOMETRY}
    fitted = boed.fit(told_in_a_corner, **some)
    expected = boed.fit(simulated(told_in_a_corner, images=200, seed=3), **some)
    assert fitted.digest() == expected.digest()
    assert fitted.facts.origin is None


def test_the_design_looks_where_the_model_tells_the_label() -> None:
    task = simulated(told_in_a_corner, images=400, parallel=True)
    fitted = boed.fit(task, iterations=60, glimpses=2, geometry=GEOMETRY)
    designs = boed.design(fitted, task["design"].take(torch.arange(10)))
    assert designs.places[:, 0].tolist() == [[8, 8, 4]] * 10
    assert (designs.epe[:, 0] < designs.entropy[:, 0] / 4).all()


def takes(size: int) -> Any:
    return pyro.sample("label", Bernoulli(size))


def nameless() -> None:
    pyro.sample("picture", Uniform(torch.zeros(6, 6), 1.0))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nameless, "sites image and label, found none of image, label"),
        (flat(image=torch.rand(6)), r"shape \(H, W\) or \(H, W, C\), found \(6,\)"),
        (flat(image=255 * torch.ones(6, 6)), r"in \[0, 1\], found 255 to 255"),
        (flat(image=torch.full((6, 6), torch.nan)), r"in \[0, 1\], found nan"),
        (flat(label=[0, 1]), r"one number, found shape \(2,\)"),
        (flat(label=0.5), "whole numbers 0 to K - 1, found 0.5"),
        (flat(label=1), "at least 2 classes, found 1"),
    ],
)
def test_what_is_no_image_with_a_label_is_refused(model: Callable[[], None], words: str) -> None:
    with pytest.raises(GlimpseError, match=words):
        simulated(model, images=40)


@pytest.mark.parametrize("model", [takes, 3, "model"])
def test_what_cannot_be_called_without_arguments_is_refused(model: Any) -> None:
    with pytest.raises(SettingsError, match="called without arguments, found .* functools.partial"):
        simulated(model)


def test_a_model_of_one_image_at_a_time_is_not_drawn_at_once() -> None:
    def model() -> None:
        label = pyro.sample("label", Bernoulli(torch.tensor(0.5)))
        pyro.sample("image", Normal(torch.ones(6, 6) * (0.8 if label > 0 else 0.2), 0.1).to_event(2))

    assert len(simulated(model, images=60)["train"]) == 33
    with pytest.raises(DataError, match="broadcast over a first axis, found: .* leave parallel out"):
        simulated(model, images=60, parallel=True)


@pytest.mark.parametrize("images", [0, 39, 50.0, True])
def test_numbers_of_images_are_checked(images: Any) -> None:
    with pytest.raises(SettingsError, match="images as a whole number from 40 on"):
        simulated(told_in_a_corner, images=images)


def test_a_function_that_opens_data_is_no_model() -> None:
    with pytest.raises(SettingsError, match="called without arguments"):
        boed.fit(load)
    with pytest.raises(SettingsError, match="expected a data set"):
        boed.fit(Tensor)
