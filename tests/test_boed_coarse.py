"""Coarse-to-fine search against the whole map: always right where it says so, and counted where not."""

from dataclasses import replace

import pytest
import torch
from boed_tiny import pointer_split
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from boed.approximations import Approximations
from boed.combination import Combination
from boed.enumeration.exact import Enumeration, exact_greedy
from boed.estimators.registry import SCORES
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.search.coarse import KEPT, SPACING, coarse_places, coarse_to_fine
from boed.search.designer import Designer, History, design_sequences
from boed.settings import FittedSettings
from data.dataset import Split
from data.finite import load_finite, template_of, templates
from data.geometry import Geometry

GEOMETRIES = st.builds(
    lambda side, glimpse, per_axis: Geometry(side, side, 1, min(glimpse, side // 2), per_axis=per_axis),
    st.integers(12, 60),
    st.integers(3, 16),
    st.integers(3, 12),
)


def places_of(geometry: Geometry) -> Tensor:
    return geometry.grid().locations


def searched(full: Tensor, geometry: Geometry, seen: Tensor) -> tuple[Tensor, list[tuple[int, int]]]:
    """The map from coarse to fine, and the pairs of image and place that were asked for."""
    asked = list[tuple[int, int]]()

    def evaluate(wanted: Tensor) -> Tensor:
        asked.extend((row, place) for row, place in wanted.nonzero().tolist())
        return full.masked_fill(~wanted, torch.inf)

    return coarse_to_fine(evaluate, places_of(geometry), seen), asked


def nothing_seen(full: Tensor) -> Tensor:
    return torch.zeros_like(full, dtype=torch.bool)


def reached(full: Tensor, geometry: Geometry, seen: Tensor) -> list[set[int]]:
    """Of each image the places within a coarse spacing of its four best coarse ones, by loops."""
    places, coarse = places_of(geometry).tolist(), coarse_places(places_of(geometry)).tolist()
    reach, found = SPACING * geometry.glimpse_size, []
    for row, hidden in zip(full.tolist(), seen.tolist(), strict=True):
        ranked = sorted(coarse, key=lambda n: torch.inf if hidden[n] else row[n])
        found.append(
            {
                n
                for n, (top, left, _) in enumerate(places)
                for k in ranked[:KEPT]
                if max(abs(top - places[k][0]), abs(left - places[k][1])) <= reach
            }
        )
    return found


@given(GEOMETRIES)
@settings(max_examples=40, deadline=None)
def test_coarse_places_keep_apart_and_cover_the_rest(geometry: Geometry) -> None:
    places = places_of(geometry)
    coarse = coarse_places(places)
    gaps = (places[:, None] - places[coarse]).abs().amax(-1)
    assert (gaps.amin(1) < SPACING * geometry.glimpse_size).all()
    apart = gaps[coarse].fill_diagonal_(10**6)
    assert apart.min() >= SPACING * geometry.glimpse_size
    assert (coarse.diff() > 0).all()


@given(GEOMETRIES, st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.floats(0.1, 3))
@settings(max_examples=60, deadline=None)
def test_a_map_with_one_valley_has_the_same_minimum(
    geometry: Geometry, bottoms: list[int], power: float
) -> None:
    """Values grow with the distance to a place of the grid, gently or steeply."""
    places = places_of(geometry)
    distances = (places[[n % len(places) for n in bottoms]][:, None] - places).abs().amax(-1).double()
    full = distances**power
    found, asked = searched(full, geometry, nothing_seen(full))
    assert torch.equal(found.argmin(1), full.argmin(1))
    assert len(set(asked)) == len(asked) <= full.numel()  # nothing twice


@given(GEOMETRIES, st.integers(0, 10**6), st.integers(1, 4), st.floats(0, 0.3))
@settings(max_examples=40, deadline=None)
def test_any_map_is_computed_near_its_best_coarse_places(
    geometry: Geometry, seed: int, images: int, hidden: float
) -> None:
    """There it is the whole map; so its minimum is that of the whole map whenever that lies there."""
    generator = torch.Generator().manual_seed(seed)
    full = torch.rand(images, len(places_of(geometry)), generator=generator, dtype=torch.float64)
    seen = torch.rand(full.shape, generator=generator) < hidden
    coarse = set(coarse_places(places_of(geometry)).tolist())
    left = (~seen[:, list(coarse)]).sum(1)
    assume(len(coarse) <= KEPT or (left >= KEPT).all())  # else any of those seen make up the number
    found, asked = searched(full, geometry, seen)
    assert sorted(asked) == [tuple(pair) for pair in found.isfinite().nonzero().tolist()]
    for row, near in enumerate(reached(full, geometry, seen)):
        computed = found[row].isfinite()
        assert torch.equal(found[row][computed], full[row][computed])
        assert set(computed.nonzero().view(-1).tolist()) == near | coarse
        best = int(full[row].masked_fill(seen[row], torch.inf).argmin())
        if best in near | coarse:
            assert int(found[row].masked_fill(seen[row], torch.inf).argmin()) == best


def test_a_map_is_found_with_fewer_places() -> None:
    geometry = Geometry(60, 60, 1, glimpse_size=12, per_axis=13)
    places = places_of(geometry)
    full = (places[:, :2] - torch.tensor([20, 32])).square().sum(-1).double()[None]
    found, asked = searched(full, geometry, nothing_seen(full))
    assert found.argmin() == full.argmin()
    assert len(asked) < 0.7 * len(places) and found.isinf().sum() > 0.4 * len(places)


def test_what_was_seen_does_not_attract() -> None:
    """The lowest coarse place was seen: the four best of the others are refined."""
    geometry = Geometry(60, 60, 1, glimpse_size=12, per_axis=13)
    full = torch.ones(2, len(geometry.grid()), dtype=torch.float64)
    ranked = [(0, 0), (0, 48), (48, 0), (24, 36), (48, 48)]  # all of them coarse
    full[:, [place_at(geometry, *corner) for corner in ranked]] = torch.arange(5.0).double() / 10
    seen = nothing_seen(full)
    seen[1, place_at(geometry, 0, 0)] = True
    found, _ = searched(full, geometry, seen)
    assert torch.equal(found[:, place_at(geometry, 4, 4)].isfinite(), torch.tensor([True, False]))
    assert torch.equal(found[:, place_at(geometry, 44, 44)].isfinite(), torch.tensor([False, True]))


def place_at(geometry: Geometry, top: int, left: int) -> int:
    return places_of(geometry).tolist().index([top, left, geometry.glimpse_size])


def test_images_get_the_map_near_their_own_minimum_alone() -> None:
    geometry = Geometry(60, 60, 1, glimpse_size=12, per_axis=13)
    places = places_of(geometry)
    corners = torch.tensor([[0, 0], [48, 48]])
    full = (places[:, :2] - corners[:, None]).abs().amax(-1).double()
    together, _ = searched(full, geometry, nothing_seen(full))
    for row in (0, 1):
        part = full[row : row + 1]
        assert torch.equal(searched(part, geometry, nothing_seen(part))[0][0], together[row])
    assert not torch.equal(together[0].isfinite(), together[1].isfinite())


def test_exact_maps_of_the_finite_set_are_rarely_missed() -> None:
    """Along the exact greedy design of 200 images; a miss costs little."""
    world = Enumeration(*templates(), load_finite().geometry)
    rows = template_of(load_finite()["test"].ids[:200])
    exact = exact_greedy(world, rows, 4)
    seen, misses, regrets = nothing_seen(exact.epe_map[:, 0]), [], []
    for step in range(4):
        full = exact.epe_map[:, step].masked_fill(seen, torch.inf)
        found, _ = searched(full, world.geometry, seen)
        regret = full.gather(1, found.argmin(1, keepdim=True))[:, 0] - full.amin(1)
        misses.append(float((regret > 1e-9).double().mean()))
        regrets.append(float(regret.mean()))
        seen = seen.scatter(1, exact.places[:, step : step + 1], True)
    assert max(misses) < 0.05 and sum(misses) > 0
    assert max(regrets) < 0.03


@pytest.fixture(scope="module")
def learned() -> Approximations:
    """A q that was never trained, on a fine grid: its maps are continuous in the place, and no more."""
    geometry = Geometry(24, 24, 1, glimpse_size=4, per_axis=11)
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 4, 3, 8).eval()
    q.head.linear.weight.data.mul_(8)
    return Approximations(
        q, enlarged(pointer_split(60, 0)), places_of(geometry), geometry, FittedSettings(glimpses=3)
    )


def enlarged(split: Split) -> Split:
    """Twice as wide and high."""
    return replace(split, images=split.images.repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize("weight", [0.1, 0.6, 1.0])
@torch.no_grad()
def test_a_coarse_search_computes_parts_of_the_full_map(learned: Approximations, weight: float) -> None:
    """Of the map that is minimised: shrunk, where it is to be shrunk."""
    split, rows = enlarged(pointer_split(20, 1)), torch.arange(20)
    full, coarse = (History(Designer(learned, coarse=c), split, rows, seed=0) for c in (False, True))
    for history in (full, coarse):
        assert torch.equal(history.score_map(weight), history.average_map())  # nothing is one's own before
        history.look(torch.full((20,), 40))
    whole, part = full.score_map(weight), coarse.score_map(weight)
    computed = part.isfinite()
    assert torch.allclose(part[computed], whole[computed], atol=1e-6)
    assert 0.2 < computed.double().mean() < 0.8
    assert part[:, 40].isinf().all()
    expected, _ = searched(whole, learned.geometry, coarse.seen)
    assert torch.equal(part.argmin(1), expected.masked_fill(coarse.seen, torch.inf).argmin(1))
    assert torch.equal(coarse.score_map(0.0), full.average_map())  # which costs nothing


@pytest.mark.parametrize("score", SCORES)
def test_an_image_has_its_coarse_design_whatever_the_batch(learned: Approximations, score: str) -> None:
    designer = Designer(replace(learned, combination=Combination(score=score)), coarse=True)
    split, some = enlarged(pointer_split(20, 1)), torch.tensor([9, 2])
    together = design_sequences(designer, split, torch.arange(20), 3, [1.0] * 3, seed=0)
    alone = design_sequences(designer, split, some, 3, [1.0] * 3, seed=0)
    assert torch.equal(alone.locations, together.locations[some])
    assert torch.equal(alone.epe_map.float(), together.epe_map[some].float())
