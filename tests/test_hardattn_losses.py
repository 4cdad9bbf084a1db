"""Loss terms: closed forms, empty masks, and which parameters each of them reaches."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_network, tiny_split
from torch import Tensor

from data.device import one_thread
from data.errors import SettingsError
from data.places import normalise
from data.pool import ImagePool
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore, follow, joined
from hardattn.objectives import losses
from hardattn.objectives.choices import LOSS_AT, LossAt
from hardattn.objectives.methods import Objective
from hardattn.objectives.registry import TERMS as KNOWN_TERMS
from hardattn.objectives.rewards import returns
from hardattn.objectives.terms import LossInputs

SPLIT = tiny_split(8, 0)
LABELS = SPLIT.labels
HALF = torch.arange(8) < 4
TERMS = {
    "classification": lambda r: losses.classification(r, LABELS),
    "imitation": lambda r: losses.imitation(r, HALF),
    "last_classification": lambda r: losses.classification(r, LABELS, "last"),
    "reinforce": lambda r: losses.reinforce(r, returns(r, LABELS, {"final": 1.0}), ~HALF),
    "baseline": lambda r: losses.baseline(r, returns(r, LABELS, {"final": 1.0}), ~HALF),
}
TRUNK = {"what", "combine", "core"}
REACHES = {
    "classification": TRUNK | {"class_head"},
    "last_classification": TRUNK | {"class_head"},
    "imitation": TRUNK | {"policy_head"},
    "reinforce": TRUNK | {"policy_head"},
    "baseline": {"baseline_head"},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def roll(network: HardAttention, count: int = 8, steps: int = 3) -> Rollout:
    look, grid = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina()), GEOMETRY.grid()
    generator = torch.Generator().manual_seed(0)
    told, free = torch.arange(count)[HALF[:count]], torch.arange(count)[~HALF[:count]]
    forced = grid.locations[torch.zeros(len(told), steps, dtype=torch.int64)]
    parts = [follow(network, look, told, forced, grid)]
    if len(free):
        parts.append(explore(network, look, free, grid, steps, mode="sample", generator=generator))
    return joined(parts)


@pytest.mark.parametrize("name", TERMS)
def test_gradient_reaches_just_the_parameters_it_should(name: str) -> None:
    network = tiny_network()
    TERMS[name](roll(network)).backward()
    touched = {
        part.split(".")[0]
        for part, p in network.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert touched == REACHES[name]


@pytest.mark.parametrize("name", ["imitation", "reinforce"])
def test_policy_that_does_not_shape_the_state_leaves_the_trunk_alone(name: str) -> None:
    network = tiny_network()
    network.policy_shapes_state = False
    TERMS[name](roll(network)).backward()
    touched = {part.split(".")[0] for part, p in network.named_parameters() if p.grad is not None}
    assert touched == {"policy_head"}


@pytest.mark.parametrize("name", ["imitation", "reinforce", "baseline"])
def test_no_image_gives_zero_loss_and_zero_gradient(name: str) -> None:
    network, nobody = tiny_network(), torch.zeros(8, dtype=torch.bool)
    result = roll(network)
    earned = returns(result, LABELS, {"final": 1.0})
    loss = (
        losses.imitation(result, nobody)
        if name == "imitation"
        else getattr(losses, name)(result, earned, nobody)
    )
    assert loss.item() == 0.0
    (loss + losses.classification(result, LABELS)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def made_up(log_prob: Tensor, logits: Tensor, baseline: Tensor) -> Rollout:
    count, steps, _ = logits.shape
    locations = torch.zeros(count, steps, 2, dtype=torch.int64)
    return Rollout(locations, log_prob, logits[:, 0] * 0, logits, baseline)


def test_terms_are_means_over_the_images_they_apply_to() -> None:
    log_prob = torch.tensor([[-1.0, -3.0], [-10.0, -20.0], [-5.0, -5.0]])
    logits = torch.tensor([[[9.0, 0], [9, 0]], [[0, 9], [0, 9]], [[9, 0], [9, 0]]])
    result = made_up(log_prob, logits, torch.full((3, 2), 0.25))
    labels, supervised = torch.tensor([0, 0, 0]), torch.tensor([True, False, False])
    assert losses.imitation(result, supervised).item() == pytest.approx(2.0)
    # image 1 is wrong: advantage -0.25; image 2 is right: advantage 0.75
    earned = returns(result, labels, {"final": 1.0})
    assert losses.reinforce(result, earned, ~supervised).item() == pytest.approx((-0.25 * 30 + 0.75 * 10) / 2)
    assert losses.baseline(result, earned, ~supervised).item() == pytest.approx((0.0625 + 0.5625) / 2)


def test_reinforce_is_unbiased() -> None:
    """One step, three places, one of them right: the estimate's mean is the enumerated gradient of E[R]."""
    theta = torch.tensor([0.2, -0.4, 0.9], requires_grad=True)
    rewards = torch.tensor([1.0, 0.0, 1.0])
    (exact,) = torch.autograd.grad(-(theta.softmax(0) * rewards).sum(), theta)
    count = 200_000
    places = torch.multinomial(
        theta.detach().softmax(0), count, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    logits = torch.stack([rewards[places], 1 - rewards[places]], dim=1)[:, None] * 9
    log_prob = theta.log_softmax(0)[places][:, None]
    result = made_up(log_prob, logits, torch.full((count, 1), 0.3))
    earned = returns(result, torch.zeros(count, dtype=torch.int64), {"final": 1.0})
    loss = losses.reinforce(result, earned, torch.ones(count, dtype=torch.bool))
    (estimate,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(estimate, exact, atol=3e-3, rtol=0)


@pytest.mark.parametrize("bonus", [0.0, 0.5])
def test_several_trajectories_and_a_bonus_for_exploring_are_unbiased(bonus: float) -> None:
    """The mean estimate of the gradient of E[R] + bonus * entropy, of four trajectories of each image."""
    theta = torch.tensor([0.2, -0.4, 0.9], requires_grad=True)
    rewards, count = torch.tensor([1.0, 0.0, 1.0]), 200_000
    chances = theta.softmax(0)
    wanted = (chances * rewards).sum() - bonus * (chances * chances.log()).sum()
    (exact,) = torch.autograd.grad(-wanted, theta)
    generator = torch.Generator().manual_seed(0)
    places = torch.multinomial(chances.detach(), count, replacement=True, generator=generator)
    logits = torch.stack([rewards[places], 1 - rewards[places]], dim=1)[:, None] * 9
    result = made_up(theta.log_softmax(0)[places][:, None], logits, torch.full((count, 1), 7.0))
    objective = Objective(rewards={"final": 1.0, "entropy": bonus}, trajectories=4)
    nobody = torch.zeros(count, dtype=torch.bool)
    inputs = LossInputs(result, torch.zeros(count, dtype=torch.int64), nobody, objective)
    (estimate,) = torch.autograd.grad(KNOWN_TERMS["reinforce"].value(inputs), theta)
    torch.testing.assert_close(estimate, exact, atol=4e-3, rtol=0)


@pytest.mark.parametrize(
    ("loss_at", "words"),
    [
        ((0.0, 0.0), r"one of them above, found \[0.0, 0.0\]"),
        ((1.0, -1.0), r"at least 0 in --loss-at, .* found \[1.0, -1.0\]"),
        ((1.0, math.inf), r"finite weights .* found \[1.0, inf\]"),
        ((math.nan, 1.0), r"finite weights .* found \[nan, 1.0\]"),
        ((1.0, 1.0, 1.0), "as many weights in --loss-at as glimpses, 2, found 3"),
        ("first", "--loss-at of every, after, last, both, or weights; found 'first'"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(loss_at: LossAt, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        losses.step_weights(loss_at, 2)
    assert losses.step_weights((0.0, 2.0), 2).tolist() == [0.0, 0.0, 1.0]


def test_what_is_said_before_any_glimpse_counts_once() -> None:
    """Before it the label has probability 1/5; afterwards it is certain."""
    logits = torch.tensor([[[50.0, 0.0], [50.0, 0.0], [50.0, 0.0]]])
    result = replace(
        made_up(torch.zeros(1, 3), logits, torch.zeros(1, 3)), prior=torch.tensor([[1.0, 4.0]]).log()
    )
    label = torch.tensor([0])
    for loss_at, share in (("every", 1 / 4), ("both", 1 / 8), ("last", 0.0), ((1.0, 1.0, 1.0), 0.0)):
        found = losses.classification(result, label, loss_at).item()
        assert found == pytest.approx(share * math.log(5), abs=1e-6)
    halves = losses.classification(result, torch.tensor([[0.5, 0.5]]), "every").item()
    assert halves == pytest.approx((math.log(5) / 2 + math.log(5 / 4) / 2 + 3 * 25) / 4)


@pytest.mark.parametrize("loss_at", [*LOSS_AT, (3.0, 1.0)])
def test_cross_entropies_in_closed_form(loss_at: str | tuple[float, ...]) -> None:
    """Before any glimpse, after one and after two the label has probability 1/2, 3/4 and 9/10."""
    logits = torch.tensor([[[3.0, 1.0], [9.0, 1.0]]]).log()
    result = made_up(torch.zeros(1, 2), logits, torch.zeros(1, 2))
    last, every = -math.log(0.9), -(math.log(0.5) + math.log(0.75) + math.log(0.9)) / 3
    weighted = -(3 * math.log(0.75) + math.log(0.9)) / 4
    after = -(math.log(0.75) + math.log(0.9)) / 2
    named = {"last": last, "every": every, "after": after, "both": (last + every) / 2}
    expected: dict[str | tuple[float, ...], float] = {**named, (3.0, 1.0): weighted}
    found = losses.classification(result, torch.tensor([0]), loss_at)
    assert found.item() == pytest.approx(expected[loss_at])


def reinforced(deviation: float | None, form: str) -> tuple[Tensor, Tensor, float]:
    """The loss, its gradient to the means' weights and that to the log of the deviation."""
    network = tiny_network(policy="gaussian", deviation=deviation)
    result, everyone = roll(network), torch.ones(8, dtype=torch.bool)
    earned = torch.arange(24.0).view(8, 3) / 10
    normaliser = network.policy_head.log_normaliser() if form == "distance" else None
    loss = losses.reinforce(result, earned, everyone, normaliser)
    loss.backward()
    means, spread = network.policy_head.linear.weight.grad, network.policy_head.log_deviation.grad
    return loss.detach(), means, 0.0 if spread is None else spread.item()


@pytest.mark.parametrize("deviation", [0.3, None])
def test_distance_leaves_the_gradient_to_the_means_and_changes_that_to_the_deviation(
    deviation: float | None,
) -> None:
    likelihood, distance = (reinforced(deviation, form) for form in ("likelihood", "distance"))
    torch.testing.assert_close(likelihood[1], distance[1])
    assert (likelihood[2] != pytest.approx(distance[2])) == (deviation is None)
    assert likelihood[0] != distance[0]


def test_distance_is_about_the_square_over_twice_the_variance() -> None:
    """Nearly: a pixel of these images is as wide as the standard deviation."""
    network = tiny_network(policy="gaussian", deviation=None)
    with torch.no_grad():
        network.policy_head.linear.weight.zero_()
        network.policy_head.linear.bias.zero_()  # so that every mean is the middle
    result, everyone = roll(network), torch.ones(8, dtype=torch.bool)
    centres = normalise(result.locations, GEOMETRY)
    expected = (centres.square().sum(-1) / (2 * 0.17**2)).sum(1).mean()
    earned = 1 + result.baseline.detach()
    loss = losses.reinforce(result, earned, everyone, network.policy_head.log_normaliser())
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0)
