"""Expected scores under images that are made, with completions that are known images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from boed_tiny import (
    GEOMETRY,
    PLACES,
    Enumerated,
    ExactPosterior,
    exact_approximations,
    pointer_split,
    some_of,
)
from torch import Tensor, nn

import boed.estimators.generated_belief
from boed.combination import Combination
from boed.estimators.generated_belief import GeneratedBelief
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.posterior import Posterior
from boed.search.designer import Designer, design_sequences
from data.dataset import Split

MADE = 6
KNOWN = pointer_split(50, seed=4)
SEEDS = torch.tensor([11, 22, 33])


class Album:
    """Completions are images of an album, turned to by the noise; it keeps what it was asked."""

    noise = 2

    def __init__(self) -> None:
        self.network: nn.Module = nn.Identity()
        self.asked = list[tuple[Tensor, Tensor, Tensor]]()

    @staticmethod
    def pages(noise: Tensor) -> Tensor:
        return (noise.sum(-1) * 1000).long() % len(KNOWN)

    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        self.asked.append((glimpses, locations, noise))
        return KNOWN.images[self.pages(noise)]


class Consistent:
    """Completions are all images of a world that look the same at the glimpses, in turn."""

    noise = 1

    def __init__(self, world: Enumerated) -> None:
        self.network: nn.Module = nn.Identity()
        self.images = world.split.images

    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        rows = torch.arange(len(self.images))
        made = []
        for seen, where in zip(glimpses, locations, strict=True):
            shown = GEOMETRY.retina()(self.images, rows, where.expand(len(rows), -1, -1))
            same = (shown == seen).flatten(1).all(1).nonzero().view(-1)
            made.append(self.images[same[torch.arange(noise.shape[1]) % len(same)]])
        return torch.stack(made)


@pytest.fixture(scope="module")
def q() -> GlimpseSetPosterior:
    torch.manual_seed(0)
    return GlimpseSetPosterior((1, 4, 4), 4, 4, 8).eval()


def belief_of(
    q: Posterior, completion: Album, rows: Sequence[int], places: list[int], score: str = "entropy"
) -> GeneratedBelief:
    """After glimpses of the images `rows` of the album at the same places."""
    seeds = SEEDS[list(rows)]
    belief = GeneratedBelief(q, completion, PLACES, GEOMETRY, seeds, MADE, score)
    look(belief, KNOWN, rows, places)
    return belief


def look(belief: GeneratedBelief, split: Split, rows: Sequence[int], places: list[int]) -> None:
    for place in places:
        location = PLACES[place].expand(len(rows), 1, 3)
        glimpses = GEOMETRY.retina()(split.images, torch.tensor(rows), location)[:, 0]
        belief.observe(glimpses, torch.full((len(rows),), place))


def totals_of(count: int) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_completion_is_asked_about_what_was_seen(q: GlimpseSetPosterior) -> None:
    album = Album()
    belief_of(q, album, range(3), [4, 0]).own_map(totals_of(3), 3)
    assert len(album.asked) == 3
    for row, (glimpses, locations, noise) in enumerate(album.asked):
        assert torch.equal(locations, PLACES[[4, 0]][None])
        assert torch.equal(
            glimpses, GEOMETRY.retina()(KNOWN.images, torch.tensor([row]), PLACES[[4, 0]][None])
        )
        drawn = np.random.default_rng([int(SEEDS[row]), 2]).standard_normal((MADE, 2))  # after two glimpses
        assert noise.dtype == torch.float32 and torch.equal(noise[0], torch.from_numpy(drawn).float())


@pytest.mark.parametrize("places", [[4], [4, 0, 7]], ids=str)
@pytest.mark.parametrize("score", ["entropy", "information"])
@torch.no_grad()
def test_a_map_is_the_mean_over_what_is_made(q: GlimpseSetPosterior, places: list[int], score: str) -> None:
    """By loops over completions and places, each glimpse embedded by itself."""
    album, totals, count = Album(), totals_of(3), len(places) + 1
    found = belief_of(q, album, range(3), places, score).own_map(totals, count)
    assert found.shape == (3, 9)
    for row in range(3):
        pages = Album.pages(album.asked[row][2])[0].tolist()
        assert len(set(pages)) > 2
        for place in range(9):
            shown = GEOMETRY.retina()(KNOWN.images, torch.tensor(pages), PLACES[place].expand(MADE, 1, 3))
            centre = GEOMETRY.grid().normalised()[place].expand(1, 2)
            after = [q.logits(totals[row].float() + q.embed(y, centre)[0], count) for y in shown]
            p = torch.stack([one.softmax(-1) for one in after])
            expected = torch.special.entr(p).sum(1).mean()
            if score == "information":
                now = torch.special.entr(q.logits(totals[row].float(), count - 1).softmax(-1)).sum()
                expected = expected - torch.special.entr(p.mean(0)).sum() + now
            assert found[row, place].item() == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize("places", [[4], [0], [3, 8]], ids=str)
@pytest.mark.parametrize("score", ["entropy", "information"])
@torch.no_grad()
def test_with_exact_parts_a_map_is_the_exact_epe(places: list[int], score: str) -> None:
    world = Enumerated()
    q = ExactPosterior(world)
    for image in (0, 7, 16):
        count = 2 * len(world.consistent(image, places))
        seed = torch.tensor([image])
        belief = GeneratedBelief(q, Consistent(world), PLACES, GEOMETRY, seed, count, score)
        look(belief, world.split, [image], places)
        glimpses = torch.stack(belief.glimpses, 1)
        centres = GEOMETRY.grid().normalised()[places]
        total = q.embed(glimpses, centres[None]).sum(1).double()
        found = belief.own_map(total, len(places) + 1)[0]
        assert found.tolist() == pytest.approx(world.epe(image, places), abs=1e-5)


@torch.no_grad()
def test_some_places_are_part_of_all(q: GlimpseSetPosterior) -> None:
    belief, totals, wanted = belief_of(q, Album(), range(3), [4]), totals_of(3), some_of(3)
    found, whole = belief.own_map(totals, 2, wanted), belief.own_map(totals, 2)
    torch.testing.assert_close(found, whole.masked_fill(~wanted, torch.inf))


@pytest.mark.parametrize(("kept", "made"), [(2**30, 3), (MADE * 12 * 12, 5), (0, 6)])
@torch.no_grad()
def test_a_map_in_parts_completes_an_image_once(
    q: GlimpseSetPosterior, monkeypatch: pytest.MonkeyPatch, kept: int, made: int
) -> None:
    """Where there is room for the completions of all images, or of one; after a glimpse they are others."""
    monkeypatch.setattr(boed.estimators.generated_belief, "KEPT_BYTES", kept)
    album, totals, first = Album(), totals_of(3), (torch.arange(9) < 4).expand(3, -1)
    belief = belief_of(q, album, range(3), [4])
    for places, asked in (([], made), ([0], 2 * made)):
        look(belief, KNOWN, range(3), places)
        count = len(belief.glimpses) + 1
        found = torch.where(first, *(belief.own_map(totals, count, part) for part in (first, ~first)))
        assert len(album.asked) == asked
        torch.testing.assert_close(
            found, belief_of(q, Album(), range(3), [4, *places]).own_map(totals, count)
        )


@pytest.mark.parametrize("score", ["entropy", "information"])
@torch.no_grad()
def test_maps_do_not_depend_on_the_images_beside(q: GlimpseSetPosterior, score: str) -> None:
    together, totals = belief_of(q, Album(), range(3), [4, 0], score).own_map(totals_of(3), 3), totals_of(3)
    for row in range(3):
        alone = belief_of(q, Album(), [row], [4, 0], score).own_map(totals[row : row + 1], 3)
        assert torch.equal(alone[0], together[row])


def test_noise_depends_on_the_image_and_the_number_of_glimpses_alone(q: GlimpseSetPosterior) -> None:
    album = Album()
    for places in ([4], [7], [4, 0]):
        belief_of(q, album, range(3), places).own_map(totals_of(3), len(places) + 1)
    noises = [noise for _, _, noise in album.asked]
    first, elsewhere, later = noises[:3], noises[3:6], noises[6:]
    assert all(torch.equal(a, b) for a, b in zip(first, elsewhere, strict=True))
    assert len(torch.cat([*first, *later]).unique()) == 6 * MADE * 2
    assert abs(torch.cat(noises).mean()) < 0.5 and 0.6 < torch.cat(noises).std() < 1.4


@torch.no_grad()
def test_completions_are_equally_likely_and_have_no_labels(q: GlimpseSetPosterior) -> None:
    album = Album()
    made = belief_of(q, album, range(3), [4]).completed(1, totals_of(3))
    assert made.labels is None and made.weights.tolist() == pytest.approx([1 / MADE] * MADE)
    pages = Album.pages(album.asked[0][2])[0]
    shown = GEOMETRY.retina()(KNOWN.images, pages, PLACES.expand(MADE, -1, -1))
    expected = q.embed(shown, GEOMETRY.grid().normalised().expand(MADE, -1, -1))
    torch.testing.assert_close(made.statistics, expected)


@pytest.mark.parametrize("score", ["entropy", "information"])
def test_a_design_with_consistent_completions_is_the_exact_greedy_design(score: str) -> None:
    world, rows = Enumerated(), torch.arange(24)
    combination = Combination(completion="gaussian", score=score)  # the name; what completes is given
    learned = replace(exact_approximations(world, 2, combination), generator=Consistent(world))
    found = design_sequences(Designer(learned, completions=240), world.split, rows, 2, [1.0, 1.0], seed=0)
    chosen = GEOMETRY.grid().index(found.locations).tolist()
    for image in rows.tolist():
        exact = torch.tensor(world.epe(image, chosen[image][:1])).double()
        exact[chosen[image][0]] = torch.inf
        assert exact[chosen[image][1]].item() == pytest.approx(exact.min().item(), abs=0.03)
        free = exact.isfinite()
        assert torch.allclose(found.epe_map[image, 1][free], exact[free], atol=0.03)
