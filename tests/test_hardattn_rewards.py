"""Rewards in closed form, and returns as sums of what is still to come."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network
from torch import Tensor, nn

from data.digits import load_digits
from data.errors import SettingsError
from data.geometry import Geometry
from data.mnist import SIDE
from data.places import mirrored, places_at
from data.pool import ImagePool
from hardattn.model.rollout import Rollout, explore
from hardattn.objectives.methods import Objective
from hardattn.objectives.registry import METHODS, REWARDS, TERMS
from hardattn.objectives.rewards import box, entropy, information, log_likelihood, reachable, returns
from hardattn.objectives.terms import LossInputs, terms
from hardattn.runs import train
from hardattn.training.augment import Variation

LABELS = torch.tensor([0, 1, 0])


def looked(logits: Tensor, locations: Tensor | None = None) -> Rollout:
    count, steps, _ = logits.shape
    nothing = torch.zeros(count, steps)
    where = torch.zeros(count, steps, 3, dtype=torch.int64) if locations is None else locations
    return Rollout(where, nothing, torch.zeros(count, 2), logits, nothing)


def test_gains_and_likelihoods_telescope() -> None:
    result = looked(torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0)))
    last, start = result.logits[:, -1], torch.log(torch.tensor(2.0))
    torch.testing.assert_close(information(result, LABELS, None).sum(1), start - entropy(last))
    told = last.log_softmax(1).gather(1, LABELS[:, None])[:, 0]
    torch.testing.assert_close(log_likelihood(result, LABELS, None).sum(1), told + start)


def test_returns_are_what_is_earned_from_each_glimpse_on() -> None:
    result = looked(torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0)))
    weights = {"final": 2.0, "information": 0.5}
    found = returns(result, LABELS, weights)
    each = 2 * REWARDS["final"](result, LABELS, None) + 0.5 * information(result, LABELS, None)
    for t in range(4):
        torch.testing.assert_close(found[:, t], each[:, t:].sum(1))
    right = (result.logits[:, -1].argmax(1) == LABELS).float()
    assert torch.equal(returns(result, LABELS, {"final": 1.0}), right[:, None].expand(-1, 4))


def test_being_right_is_rewarded_at_every_glimpse() -> None:
    logits = torch.tensor([[[2.0, 1], [1, 2], [2, 1]], [[0, 3], [0, 3], [3, 0]], [[0, 1], [0, 1], [0, 1]]])
    result = looked(logits)  # of labels 0, 1, 0
    earned = REWARDS["correct"](result, LABELS, None)
    assert earned.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert torch.equal(earned[:, -1], REWARDS["final"](result, LABELS, None)[:, -1])
    assert returns(result, LABELS, {"correct": 1.0}).tolist() == [[2, 1, 1], [2, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("discount", [0.1, 0.9, 1.0])
def test_what_comes_later_counts_less(discount: float) -> None:
    result = looked(torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0)))
    weights = {"correct": 2.0, "information": 0.5}
    each = 2 * REWARDS["correct"](result, LABELS, None) + 0.5 * information(result, LABELS, None)
    found = returns(result, LABELS, weights, discount=discount)
    for t in range(4):
        by_hand = sum(discount ** (k - t) * each[:, k] for k in range(t, 4))
        torch.testing.assert_close(found[:, t], by_hand)


def test_the_objective_hands_on_discount_and_weight() -> None:
    result = looked(torch.tensor([[[9.0, 0], [9, 0]]]))
    nobody = torch.zeros(1, dtype=torch.bool)
    objective = Objective(classification_weight=0.25, discount=0.5)
    changed, plain = (LossInputs(result, LABELS[:1], nobody, one) for one in (objective, Objective()))
    assert changed.returns.tolist() == [[0.5, 1.0]] and plain.returns.tolist() == [[1.0, 1.0]]
    a, b = (TERMS["classification"].value(inputs).item() for inputs in (changed, plain))
    assert a == pytest.approx(0.25 * b) and b > 0


def test_reward_alone_teaches_where_to_look_and_no_class() -> None:
    """Weight 0: the gradient of the loss reaches policy and state, and nothing of the classifier."""
    network = tiny_network(policy_shapes_state=True).train()
    split = tiny_dataset()["train"]
    look = partial(ImagePool([split]).glimpses, GEOMETRY.retina())
    generator, every = torch.Generator().manual_seed(0), torch.arange(16)
    rollout = explore(network, look, every, GEOMETRY.grid(), 3, mode="sample", generator=generator)
    nobody = torch.zeros(16, dtype=torch.bool)
    objective = Objective(rewards={"correct": 1.0}, classification_weight=0.0)
    inputs = LossInputs(rollout, split.labels[every], nobody, objective)
    torch.stack(list(terms(METHODS["ram"], inputs).values())).sum().backward()

    def largest(part: nn.Module) -> float:
        return max(float(p.grad.abs().max()) for p in part.parameters() if p.grad is not None)

    assert largest(network.class_head) == 0
    assert largest(network.policy_head) > 1e-4 and largest(network.what) > 1e-6


def test_a_glimpse_that_touches_the_box_costs_nothing() -> None:
    geometry = Geometry(40, 40, 1, glimpse_size=8)
    boxes = reachable(torch.tensor([[10, 20, 14, 26]]), geometry)
    cost = {(3, 13): 0, (13, 25): 0, (2, 13): -1, (13, 29): -4, (0, 0): -13}
    locations = places_at(torch.tensor(list(cost)), 8)[None]
    result = looked(torch.zeros(1, len(cost), 2), locations)
    expected = torch.tensor([[value / 40 for value in cost.values()]])
    torch.testing.assert_close(box(result, LABELS[:1], boxes), expected)


def test_boxes_of_the_digits_hold_them() -> None:
    """Without clutter outside: the digit's brightest pixels are in its box."""
    split = load_digits()["valid"]
    assert split.boxes is not None and split.boxes.shape == (450, 4)
    sides = split.boxes[:, 2:] - split.boxes[:, :2]
    assert (sides == 16).all() and (split.boxes >= 0).all() and (split.boxes <= 40).all()
    inside = torch.stack(
        [image[a:c, b:d].float().sum() for image, (a, b, c, d) in zip(split.images, split.boxes, strict=True)]
    )
    assert (inside / split.images.float().sum((1, 2, 3))).min() > 0.3 and SIDE == 28
    taken = split.take(torch.tensor([3, 5]))
    assert taken.boxes is not None and torch.equal(taken.boxes, split.boxes[[3, 5]])


def test_unknown_rewards_and_unknown_boxes_are_refused() -> None:
    result = looked(torch.zeros(3, 2, 2))
    with pytest.raises(
        SettingsError, match="final, correct, log-likelihood, information, entropy, box; found 'glory'"
    ):
        returns(result, LABELS, {"glory": 1.0})
    with pytest.raises(SettingsError, match="a data set that knows boxes"):
        returns(result, LABELS, {"box": 1.0})


def test_in_a_mirrored_image_the_box_is_mirrored() -> None:
    """A location has the reward that its mirror image has in the image as it was."""
    geometry = Geometry(20, 24, 1, glimpse_size=4, per_axis=5)
    generator = torch.Generator().manual_seed(0)
    corner = torch.randint(0, 10, (200, 2), generator=generator)
    extent = torch.randint(1, 10, (200, 2), generator=generator)
    boxes = reachable(torch.cat([corner, corner + extent], 1), geometry)
    varied = Variation.draw(200, geometry, mirror=True, tone=0.0, jitter=0, generator=generator)
    places = places_at(torch.randint(0, 17, (200, 3, 2), generator=generator), 4)
    other = mirrored(places, geometry)
    as_it_was = torch.where(varied.flipped[:, None, None], other, places)
    nothing = torch.zeros(200, 3, 2)
    here = box(looked(nothing, places), LABELS, varied.reachable(boxes, geometry.grid()))
    there = box(looked(nothing, as_it_was), LABELS, boxes)
    torch.testing.assert_close(here, there)
    assert not torch.equal(here, box(looked(nothing, places), LABELS, boxes))


def test_boxes_are_missed_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="knows boxes for the reward box, found tiny; take digits"):
        train(tiny_dataset(), tmp_path / "run", method="ram", rewards={"box": 1.0}, device="cpu")
    assert not (tmp_path / "run").exists()
