"""Loss terms: closed forms, empty masks, and which parameters each of them reaches."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_network, tiny_split
from torch import Tensor

from data.device import one_thread
from data.pool import ImagePool
from hardattn import losses
from hardattn.network import HardAttention
from hardattn.rollout import Rollout, rollout

SPLIT = tiny_split(8, 0)
LABELS = SPLIT.labels
HALF = torch.arange(8) < 4
TERMS = {
    "classification": lambda r: losses.classification(r, LABELS),
    "imitation": lambda r: losses.imitation(r, HALF),
    "reinforce": lambda r: losses.reinforce(r, LABELS, ~HALF),
    "baseline": lambda r: losses.baseline(r, LABELS, ~HALF),
    "gain": losses.gain,
}
TRUNK = {"what", "where", "core", "start"}
REACHES = {
    "classification": TRUNK | {"class_head"},
    "imitation": TRUNK | {"policy_head"},
    "reinforce": TRUNK | {"policy_head"},
    "baseline": {"baseline_head"},
    "gain": {"gain_head"},
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def roll(network: HardAttention, count: int = 8, steps: int = 3) -> Rollout:
    look = partial(ImagePool([SPLIT]).glimpses, GEOMETRY.retina())
    forced = torch.zeros(count, steps, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    mask = HALF[:count]
    index = torch.arange(count)
    return rollout(
        network,
        look,
        index,
        GEOMETRY.grid(),
        steps,
        mode="sample",
        forced=forced,
        mask=mask,
        generator=generator,
    )


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
    loss = (
        losses.imitation(result, nobody)
        if name == "imitation"
        else getattr(losses, name)(result, LABELS, nobody)
    )
    assert loss.item() == 0.0
    (loss + losses.classification(result, LABELS)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


def made_up(log_prob: Tensor, logits: Tensor, baseline: Tensor) -> Rollout:
    count, steps, _ = logits.shape
    nothing = torch.zeros(count, steps)
    return Rollout(nothing.long(), nothing[..., None], log_prob, logits[:, 0] * 0, logits, baseline, nothing)


def test_terms_are_means_over_the_images_they_apply_to() -> None:
    log_prob = torch.tensor([[-1.0, -3.0], [-10.0, -20.0], [-5.0, -5.0]])
    logits = torch.tensor([[[9.0, 0], [9, 0]], [[0, 9], [0, 9]], [[9, 0], [9, 0]]])
    result = made_up(log_prob, logits, torch.full((3, 2), 0.25))
    labels, supervised = torch.tensor([0, 0, 0]), torch.tensor([True, False, False])
    assert losses.imitation(result, supervised).item() == pytest.approx(2.0)
    # image 1 is wrong: advantage -0.25; image 2 is right: advantage 0.75
    assert losses.reinforce(result, labels, ~supervised).item() == pytest.approx((-0.25 * 30 + 0.75 * 10) / 2)
    assert losses.baseline(result, labels, ~supervised).item() == pytest.approx((0.0625 + 0.5625) / 2)


def test_realised_gain_telescopes_to_the_drop_of_the_entropy() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 200.0]]])
    gains = losses.realised_gain(made_up(torch.zeros(1, 2), logits, torch.zeros(1, 2)))
    torch.testing.assert_close(gains, torch.tensor([[0.0, 0.6931472]]))


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
    loss = losses.reinforce(
        result, torch.zeros(count, dtype=torch.int64), torch.ones(count, dtype=torch.bool)
    )
    (estimate,) = torch.autograd.grad(loss, theta)
    torch.testing.assert_close(estimate, exact, atol=3e-3, rtol=0)
