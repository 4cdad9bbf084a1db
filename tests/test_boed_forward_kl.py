"""The forward KL against compiled inference in Pyro, its closed form, and as a loss of SVI."""

import math
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from pyro.distributions import Bernoulli, Categorical, Normal
from pyro.infer import CSIS, SVI
from pyro.optim import Adam, ClippedAdam
from torch import Tensor

from boed.fitting.forward_kl import ForwardKL
from boed.joint_model import PLATES, JointModel
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.posterior import Posterior, negative_log_posterior
from data.dataset import Split
from data.errors import SettingsError

WORLD = Enumerated(count=16, classes=2, seed=1)
RETINA = GEOMETRY.retina()


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    with pyro.get_param_store().scope(), torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def posterior(glimpses: int = 2, attributes: int = 1) -> Posterior:
    return GlimpseSetPosterior((1, 4, 4), 2, glimpses, 16, attributes).eval()


def guide_of(q: Posterior) -> Any:
    def guide(places: Tensor, *, observations: Any) -> None:
        q(observations["glimpses"], GEOMETRY.centres(places))

    return guide


def gradients(q: Posterior) -> list[Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in q.parameters()]
    q.zero_grad()
    return found


def test_its_gradient_is_that_of_compiled_inference_on_the_same_draws() -> None:
    """`CSIS` has a trace for each of 12 images, and here is one run with a plate over them."""
    q, model, place = posterior(), JointModel(WORLD.split, RETINA), PLACES[[5]]
    csis = CSIS(model, guide_of(q), Adam({"lr": 0.0}), training_batch_size=12)
    known = {"observations": {"glimpses": torch.zeros(1, 1, 1, 4, 4)}}
    batch = [csis._sample_from_joint(place[None], **known) for _ in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # q does not sample the image
        expected = csis.loss_and_grads(True, batch, place[None])
    theirs = gradients(q)
    drawn = torch.cat([trace.nodes["image"]["value"] for trace in batch])
    same = pyro.poutine.condition(model, {"image": drawn})
    objective = ForwardKL(observed=("glimpses",), averaged=("images",))
    found = objective.loss_and_grads(same, guide_of(q), place.expand(12, 1, -1))
    assert found == pytest.approx(expected, rel=1e-5) and len(set(drawn.tolist())) > 6
    for own, other in zip(gradients(q), theirs, strict=True):
        assert torch.allclose(own, other, atol=1e-6)
    assert max(other.abs().max() for other in theirs) > 1e-3


@pytest.mark.parametrize("attributes", [1, 3])
def test_its_value_is_the_mean_over_images_prefixes_and_attributes(attributes: int) -> None:
    q, places = posterior(3, attributes), PLACES[torch.randint(9, (12, 3))]
    labels = torch.randint(2, (16, attributes)) if attributes > 1 else WORLD.split.labels
    split = Split(WORLD.split.images, labels, WORLD.split.ids, "")
    image = torch.randint(16, (12,))
    model = pyro.poutine.condition(JointModel(split, RETINA), {"image": image})
    objective = ForwardKL(observed=("glimpses",), averaged=PLATES)
    glimpses = RETINA(split.images, image, places)
    expected = negative_log_posterior(q, glimpses, GEOMETRY.centres(places), labels[image])
    found = objective.differentiable_loss(model, guide_of(q), places)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.loss(model, guide_of(q), places) == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    theirs = gradients(q)
    found.backward()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(gradients(q), theirs, strict=True))


def test_svi_brings_the_guide_to_the_posterior() -> None:
    """Of x in {0, 1} given y ~ N(2x - 1, 1): its log-odds are 2y + log(p / (1 - p))."""

    def model() -> None:
        with pyro.plate("draws", 2000):
            x = pyro.sample("x", Bernoulli(torch.tensor(0.3)))
            pyro.sample("y", Normal(2 * x - 1, 1.0))

    def guide(observations: Any) -> None:
        slope, offset = pyro.param("slope", torch.tensor(0.0)), pyro.param("offset", torch.tensor(0.0))
        with pyro.plate("draws", 2000):
            pyro.sample("x", Bernoulli(logits=slope * observations["y"] + offset))

    svi = SVI(model, guide, ClippedAdam({"lr": 0.1, "lrd": 0.99}), loss=ForwardKL(("y",), ("draws",)))
    for _ in range(200):
        svi.step()
    assert pyro.param("slope").item() == pytest.approx(2, abs=0.05)
    assert pyro.param("offset").item() == pytest.approx(math.log(0.3 / 0.7), abs=0.05)


def two_causes(scale: float = 1.0) -> None:
    """A latent site that a guide may leave out, and one of several plates."""
    with pyro.plate("draws", 400):
        hidden = pyro.sample("hidden", Bernoulli(torch.tensor(0.5)))
        with pyro.plate("parts", 3):
            x = pyro.sample("x", Normal(hidden, 1.0))
        pyro.sample("y", Normal(x.sum(0), scale))


def parts(observations: Any) -> None:
    with pyro.plate("draws", 400), pyro.plate("parts", 3):
        pyro.sample("x", Normal(observations["y"] / 3, torch.ones(3, 1)))


def test_plates_are_summed_unless_they_are_averaged() -> None:
    values = dict[tuple[str, ...], float]()
    for averaged in ((), ("draws",), ("draws", "parts")):
        torch.manual_seed(1)
        values[averaged] = ForwardKL(("y",), averaged).loss(two_causes, parts)
    assert (
        values[()] == pytest.approx(400 * values["draws",]) == pytest.approx(1200 * values["draws", "parts"])
    )


def test_scales_and_masks_of_the_guide_count() -> None:
    def loss(guide: Any) -> float:
        torch.manual_seed(1)
        return ForwardKL(("y",)).loss(two_causes, guide)

    assert loss(pyro.poutine.scale(parts, 0.5)) == pytest.approx(loss(parts) / 2)
    masked = pyro.poutine.mask(parts, torch.tensor([[True], [False], [False]]))
    assert 0.2 < loss(masked) / loss(parts) < 0.45


def test_a_site_that_the_model_does_not_have_is_refused() -> None:
    def guide(observations: Any) -> None:
        pyro.sample("lable", Categorical(torch.ones(2)))

    with pytest.raises(SettingsError, match="sites that the model has, hidden, x, y, found lable"):
        ForwardKL(("y",)).loss(partial(two_causes, 2.0), guide)


def test_a_guide_that_samples_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="samples a site of the model, found none"):
        ForwardKL(("y",)).loss(two_causes, lambda observations: None)


def test_an_observed_site_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(SettingsError, match="found no z among hidden, x, y"):
        ForwardKL(("y", "z")).loss(two_causes, parts)


def test_the_model_is_not_learned() -> None:
    def model() -> None:
        pyro.sample("x", Normal(pyro.param("mean", torch.tensor(0.0)), 1.0))

    def guide(observations: Any) -> None:
        pyro.sample("x", Normal(pyro.param("guess", torch.tensor(1.0)), 1.0))

    svi = SVI(model, guide, Adam({"lr": 0.1}), loss=ForwardKL(observed=()))
    for _ in range(5):
        svi.step()
    assert pyro.param("mean").item() == 0.0 and pyro.param("guess").item() < 1.0
