"""Rollouts: which locations are used, with which probability, and that both ways to look agree."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_network, tiny_split

from data.device import one_thread
from data.plugins import options_of
from data.pool import ImagePool
from hardattn.model.choices import WITH_DEVIATION, WITHOUT_DEVIATION
from hardattn.model.heads import PONDER_COSTS
from hardattn.model.registry import COMBINATIONS, CORES, ENCODERS, POLICIES
from hardattn.model.rollout import Rollout, explore, follow, joined
from hardattn.training.recipe import Recipe

GRID, STEPS, COUNT = GEOMETRY.grid(), 3, 6
POOL = ImagePool([tiny_split(COUNT, 0)])
LOOK = partial(POOL.glimpses, GEOMETRY.retina())
SMALL = [name for name in ENCODERS if name != "resnet18"]
DRAWN = [
    {"policy": name} | ({} if policy.reads == "output" else {"core": "mean", "glimpses": STEPS})
    for name, policy in POLICIES.items()
    if not policy.differentiable
]
NETWORKS = (
    [{"core": core, "glimpses": STEPS} for core in CORES]
    + [{"combine": combine, "encoder": encoder} for combine in COMBINATIONS for encoder in SMALL]
    + DRAWN
    + [{"policy": "gaussian", "deviation": None}, {"batch_norm": True}]
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def run(mode: Any = "sample", seed: int = 0, **chosen: Any) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    network = tiny_network(**chosen).eval()
    return explore(network, LOOK, torch.arange(COUNT), GRID, STEPS, mode=mode, generator=generator)


@pytest.mark.parametrize("chosen", NETWORKS, ids=str)
def test_following_what_was_explored_gives_the_same(chosen: dict[str, Any]) -> None:
    """One batch over all steps against step by step, for every core, encoder, combination and policy."""
    explored = run(**chosen)
    followed = follow(tiny_network(**chosen).eval(), LOOK, torch.arange(COUNT), explored.locations, GRID)
    for name in Rollout.__dataclass_fields__:
        torch.testing.assert_close(getattr(followed, name), getattr(explored, name), atol=1e-5, rtol=1e-5)


def test_log_prob_is_that_of_the_location_used() -> None:
    """Replaying the used locations one step at a time gives the same log-probabilities and logits."""
    result, network = run(), tiny_network().eval()
    state = network.initial(COUNT)
    for t in range(STEPS):
        log_policy = network.policy_head.linear(state).log_softmax(1)
        place = GRID.index(result.locations[:, t])
        torch.testing.assert_close(result.log_prob[:, t], log_policy[torch.arange(COUNT), place])
        torch.testing.assert_close(result.gain[:, t], network.gain(state))
        glimpses = LOOK(torch.arange(COUNT), result.locations[:, t : t + 1])[:, 0]
        state = network.step(glimpses, GRID.normalised()[place], state)
        torch.testing.assert_close(result.logits[:, t], network.classify(state))


def test_shapes_and_joined() -> None:
    result = run()
    every = {name: getattr(result, name) for name in Rollout.__dataclass_fields__}
    assert every.pop("candidates") is None  # nothing was asked about
    assert every.pop("glances") == 0 and every.pop("auxiliary") is None  # of a network with a memory
    every |= every.pop("said")
    shapes: dict[str, tuple[int, ...]] = {name: tuple(value.shape) for name, value in every.items()}
    alone, costs = ("log_prob", "baseline", "gain", "accuracy_gain"), ("act", "stochastic")
    expected: dict[str, tuple[int, ...]] = {name: (COUNT, STEPS) for name in alone}
    expected |= {name: (COUNT, STEPS, len(PONDER_COSTS)) for name in costs}
    expected |= {"locations": (COUNT, STEPS, 3), "prior": (COUNT, 2), "logits": (COUNT, STEPS, 2)}
    assert shapes == expected
    both = joined([result, run(seed=1)])
    assert torch.equal(both.locations[COUNT:], run(seed=1).locations) and len(both.prior) == 2 * COUNT


def test_greedy_is_the_most_likely_and_needs_no_generator() -> None:
    assert torch.equal(run("greedy", seed=0).locations, run("greedy", seed=1).locations)
    network = tiny_network()
    first = GRID.locations[network.policy_head.linear(network.initial(1)).argmax()]
    assert (run("greedy").locations[:, 0] == first).all()


def test_random_ignores_the_policy() -> None:
    network = tiny_network().eval()
    with torch.no_grad():
        network.policy_head.linear.bias[3] = 50.0
    index, generator = torch.arange(COUNT).repeat(100), torch.Generator().manual_seed(0)
    found = explore(network, LOOK, index, GRID, 2, mode="random", generator=generator)
    places = GRID.index(found.locations)
    assert 0.03 < (places == 3).float().mean() < 0.1 and len(places.unique()) == len(GRID)


def test_centre_is_the_middle_of_the_image() -> None:
    found = run("centre").locations
    assert len(found.view(-1, 3).unique(dim=0)) == 1
    assert (found[0, 0] + 2 - 8).abs().max() <= 2  # of 16 pixels, 4 at a time, every 4


def test_no_gradient_flows_through_a_location() -> None:
    for chosen in DRAWN:
        network = tiny_network(**chosen)
        generator = torch.Generator().manual_seed(0)
        found = explore(network, LOOK, torch.arange(COUNT), GRID, STEPS, mode="sample", generator=generator)
        found.logits.sum().backward()
        assert all(p.grad is None for p in network.policy_head.parameters())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    pool = ImagePool([tiny_split(COUNT, 0).to("cuda")])
    network = tiny_network().eval().cuda()
    look = partial(pool.glimpses, GEOMETRY.retina())
    result = explore(network, look, torch.arange(COUNT, device="cuda"), GRID, STEPS, mode="greedy")
    torch.testing.assert_close(result.logits.cpu(), run("greedy").logits, atol=1e-3, rtol=1e-3)


def test_what_is_known_of_deviations_without_import_is_so() -> None:
    assert {*WITH_DEVIATION, *WITHOUT_DEVIATION} == set(POLICIES)
    assert Recipe().policy == WITHOUT_DEVIATION[0]
    for name, policy in POLICIES.items():
        assert ("deviation" in options_of(policy)) is (name in WITH_DEVIATION)
