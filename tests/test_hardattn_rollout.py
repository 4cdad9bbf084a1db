"""Rollouts: which locations are used, and with which probability."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_network, tiny_split
from hypothesis import given, settings
from hypothesis import strategies as st

from data.device import one_thread
from data.pool import ImagePool
from hardattn.rollout import Rollout, _draw, rollout

GRID, STEPS, COUNT = GEOMETRY.grid(), 3, 6
POOL = ImagePool([tiny_split(COUNT, 0)])
LOOK = partial(POOL.glimpses, GEOMETRY.retina())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def run(mode: str = "sample", seed: int = 0, **options: object) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    network = tiny_network().eval()
    return rollout(network, LOOK, torch.arange(COUNT), GRID, STEPS, mode=mode, generator=generator, **options)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.booleans(), min_size=COUNT, max_size=COUNT), st.integers(0, 99))
def test_teacher_forcing_uses_exactly_the_forced_locations(mask: list[bool], seed: int) -> None:
    forced = torch.randint(len(GRID), (COUNT, STEPS), generator=torch.Generator().manual_seed(seed))
    chosen = torch.tensor(mask)
    result, free = run(seed=seed, forced=forced, mask=chosen), run(seed=seed)
    assert torch.equal(result.places[chosen], forced[chosen])
    assert torch.equal(result.places[~chosen], free.places[~chosen])
    assert torch.equal(result.locations, GRID.locations[result.places])


def test_log_prob_is_that_of_the_location_used() -> None:
    """Replaying the used locations one step at a time gives the same log-probabilities and logits."""
    result, network = run(), tiny_network().eval()
    state = network.initial(COUNT)
    for t in range(STEPS):
        log_policy = network.policy(state).log_softmax(1)
        torch.testing.assert_close(
            result.log_prob[:, t], log_policy[torch.arange(COUNT), result.places[:, t]]
        )
        torch.testing.assert_close(result.gain[:, t], network.gain(state))
        glimpses = LOOK(torch.arange(COUNT), result.locations[:, t : t + 1])[:, 0]
        state = network.step(glimpses, GRID.normalised()[result.places[:, t]], state)
        torch.testing.assert_close(result.logits[:, t], network.classify(state))


def test_shapes() -> None:
    result = run()
    shapes = {name: tuple(getattr(result, name).shape) for name in Rollout.__dataclass_fields__}
    expected = {name: (COUNT, STEPS) for name in ("places", "log_prob", "baseline", "gain")}
    expected |= {"locations": (COUNT, STEPS, 2), "prior": (COUNT, 2), "logits": (COUNT, STEPS, 2)}
    assert shapes == expected


def test_greedy_is_the_most_likely_and_needs_no_generator() -> None:
    assert torch.equal(run("greedy", seed=0).places, run("greedy", seed=1).places)
    first = tiny_network().policy(tiny_network().initial(1)).argmax()
    assert (run("greedy").places[:, 0] == first).all()


def test_random_ignores_the_policy() -> None:
    network = tiny_network().eval()
    with torch.no_grad():
        network.policy_head.bias[3] = 50.0
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(COUNT).repeat(100)
    places = rollout(network, LOOK, index, GRID, 2, mode="random", generator=generator).places
    share = (places == 3).float().mean()
    assert 0.03 < share < 0.1 and len(places.unique()) == len(GRID)


def test_draws_follow_the_probabilities_and_never_take_an_impossible_place() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0])
    drawn = _draw(probabilities.log().expand(20000, -1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.bincount(minlength=6) / 20000, probabilities, atol=0.015, rtol=0)
    assert set(drawn.tolist()) == {1, 3, 4}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    pool = ImagePool([tiny_split(COUNT, 0).to("cuda")])
    network = tiny_network().eval().cuda()
    look = partial(pool.glimpses, GEOMETRY.retina())
    result = rollout(network, look, torch.arange(COUNT, device="cuda"), GRID, STEPS, mode="greedy")
    torch.testing.assert_close(result.logits.cpu(), run("greedy").logits, atol=1e-3, rtol=1e-3)
