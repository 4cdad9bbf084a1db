"""The joint model of images, labels and glimpses, and the joint belief of q and r as its guide."""

import math
from dataclasses import replace
from typing import Any

import pyro
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated
from pyro.distributions import Categorical, Normal
from pyro.infer import Importance
from torch import Tensor

from boed.completions.retrieval import joined
from boed.joint_model import DiscreteUniform, JointModel

WORLD, RETINA = Enumerated(), GEOMETRY.retina()
NOISE = torch.tensor(0.25, dtype=torch.float64)
SEEN = PLACES[[0, 5]][None]  # (1, 2, 3)
IMAGES = len(WORLD.split)


def trace_of(model: Any, *args: Any, **kwargs: Any) -> Any:
    trace = pyro.poutine.trace(model).get_trace(*args, **kwargs)
    trace.compute_log_prob()
    return trace


def glimpses_of(image: int) -> Tensor:
    """(1, 2, 1, 4, 4) at the two places, between two grey levels."""
    return RETINA(WORLD.split.images, torch.tensor([image]), SEEN).double() * 0.9 + 0.03


def log_likelihoods(glimpses: Tensor) -> Tensor:
    """(1, N) log p(glimpses | image) of all images, up to nothing."""
    shown = RETINA(WORLD.split.images, torch.arange(IMAGES), SEEN.expand(IMAGES, -1, -1)).double()
    return Normal(shown, NOISE).log_prob(glimpses).flatten(1).sum(1)[None]


def test_the_density_is_that_of_a_uniform_image_and_independent_noise() -> None:
    places = PLACES[torch.tensor([[0, 5], [3, 8], [2, 2]])]
    trace = trace_of(JointModel(WORLD.split, RETINA), places, NOISE)
    image = trace.nodes["image"]["value"]
    assert image.shape == (3,) and trace.nodes["label"]["value"].equal(WORLD.split.labels[image])
    noise = trace.nodes["glimpses"]["value"] - RETINA(WORLD.split.images, image, places)
    expected = -noise.square().flatten(1).sum(1) / (2 * NOISE**2) - 32 * math.log(
        NOISE * math.sqrt(2 * math.pi)
    )
    assert torch.allclose(trace.nodes["glimpses"]["log_prob"], expected)
    total = expected.sum().item() - 3 * math.log(IMAGES)  # may cancel
    assert trace.log_prob_sum().item() == pytest.approx(total, rel=1e-6, abs=1e-5)


def test_without_noise_the_sensor_is_exact() -> None:
    rows = torch.tensor([3, 17])
    trace = trace_of(JointModel(WORLD.split, RETINA, rows), SEEN.expand(40, -1, -1))
    number = trace.nodes["image"]["value"]
    assert set(number.tolist()) == {0, 1}  # of the rows
    shown = RETINA(WORLD.split.images, rows[number], SEEN.expand(40, -1, -1))
    assert trace.nodes["glimpses"]["value"].equal(shown)


def test_several_attributes_have_a_plate() -> None:
    labels = torch.stack([WORLD.split.labels, 1 - WORLD.split.labels.clamp(max=1)], 1)
    trace = trace_of(JointModel(replace(WORLD.split, labels=labels), RETINA), SEEN.expand(5, -1, -1))
    label = trace.nodes["label"]
    assert [frame.name for frame in label["cond_indep_stack"]] == ["images", "attributes"]
    assert label["value"].equal(labels[trace.nodes["image"]["value"]].T)


def test_images_are_drawn_with_the_generator() -> None:
    def drawn(seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        trace = trace_of(JointModel(WORLD.split, RETINA), SEEN.expand(9, -1, -1), generator=generator)
        return trace.nodes["image"]["value"].tolist()

    assert drawn(0) == drawn(0) != drawn(1)


def test_a_discrete_uniform_has_the_density_and_the_frequencies_of_a_categorical() -> None:
    values, generator = torch.arange(7), torch.Generator().manual_seed(0)
    assert torch.allclose(DiscreteUniform(7).log_prob(values), Categorical(torch.ones(7)).log_prob(values))
    drawn = DiscreteUniform(7, generator).expand((70_000,)).sample()
    assert (torch.bincount(drawn, minlength=7) / 10_000 - 1).abs().max() < 0.05


class JointBelief:
    """q(label) and then r(image | label) as a guide, from their definition."""

    def __init__(self, log_q: Tensor, glimpses: Tensor) -> None:
        self.log_q, self.likelihoods = log_q, log_likelihoods(glimpses)

    def __call__(self, *_: Any, observations: Any = None) -> None:
        with pyro.plate("images", 1):
            label = pyro.sample("label", Categorical(logits=self.log_q))
            others = WORLD.split.labels != label
            pyro.sample("image", Categorical(logits=self.likelihoods.masked_fill(others, -torch.inf)))


@pytest.mark.parametrize("image", [0, 7])
def test_the_joint_belief_is_the_trace_of_q_and_then_r(image: int) -> None:
    log_q = torch.tensor([[0.2, 0.7, 0.1]], dtype=torch.float64).log()
    guide = JointBelief(log_q, glimpses_of(image))
    expected = joined(guide.likelihoods, WORLD.split.labels, log_q)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(60):
            trace = trace_of(guide)
            found = expected[0, trace.nodes["image"]["value"]]
            assert trace.log_prob_sum().item() == pytest.approx(found.item(), abs=1e-9)


def test_where_q_is_the_posterior_the_joint_belief_is_too() -> None:
    """Importance sampling with it as the guide then has equal weights, all of them the evidence."""
    glimpses = glimpses_of(3)
    likelihoods = log_likelihoods(glimpses)
    member = WORLD.split.labels == torch.arange(3)[:, None]  # (K, N)
    shares = likelihoods.masked_fill(~member, -torch.inf).logsumexp(1)
    guide = JointBelief(shares.log_softmax(0)[None], glimpses)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        importance = Importance(JointModel(WORLD.split, RETINA), guide, num_samples=50)
        importance.run(SEEN, NOISE, observations={"glimpses": glimpses})
    evidence = likelihoods.logsumexp(1) - math.log(IMAGES)
    assert torch.allclose(torch.stack(importance.log_weights), evidence.expand(50))
    assert len({trace.nodes["image"]["value"].item() for trace in importance.exec_traces}) > 3
