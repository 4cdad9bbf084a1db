import math
from functools import cache

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, Enumerated, ExactPosterior, exact_approximations
from torch import Tensor

from boed.epe import candidate_scores, entropy, expected_scores
from boed.search import Designer, greedy_designs

HISTORIES: list[list[int]] = [[], [0], [0, 5], [8, 1, 3]]


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return Enumerated()


@cache
def embeddings_of(world: Enumerated) -> Tensor:
    return exact_approximations(world).bank_embeddings.double()


def scores(world: Enumerated, q: ExactPosterior, image: int, places: list[int], score: str) -> Tensor:
    embeddings = embeddings_of(world)
    total = embeddings[image, places].sum(0)
    completions = torch.tensor(world.consistent(image, places)).repeat_interleave(3)
    labels = world.split.labels
    return expected_scores(q, total, len(places) + 1, embeddings, labels, completions, score)


class Sharpened(ExactPosterior):
    """Overconfident, as a q that is not calibrated."""

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        return 5 * (super().logits(total, count).clamp(min=-20))


class Tilted(ExactPosterior):
    """Wrong in another way."""

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        return super().logits(total, count).clamp(min=-3) + torch.tensor([1.0, 0.0, -1.0])


def test_entropy_of_known_distributions() -> None:
    for classes in (2, 3, 10):
        assert entropy(torch.zeros(4, classes)).tolist() == pytest.approx([math.log(classes)] * 4, rel=1e-6)
    certain = torch.tensor([[0.0, -torch.inf], [1e4, 0.0], [200.0, -200.0]], requires_grad=True)
    assert entropy(certain).tolist() == [0, 0, 0]
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    assert entropy(p.log() + 7).item() == pytest.approx(-sum(x * math.log(x) for x in p.tolist()))


def test_the_enumerable_model_is_not_trivial(world: Enumerated) -> None:
    found = np.array(world.epe(0, [0]))
    assert found.min() < 0.7 * found.max()
    assert len(world.consistent(0, [0, 5])) < len(world.consistent(0, [0])) < len(world.labels)


@pytest.mark.parametrize("places", HISTORIES)
@pytest.mark.parametrize("score", ["entropy", "cross-entropy"])
def test_scores_of_an_exact_posterior_are_the_exact_epe(
    world: Enumerated, places: list[int], score: str
) -> None:
    """The bound of Barber and Agakov is tight when q is exact, so both scores are the EPE."""
    for image in range(0, 24, 5):
        found = scores(world, ExactPosterior(world), image, places, score)
        assert found.tolist() == pytest.approx(world.epe(image, places), abs=1e-9)


@pytest.mark.parametrize("places", HISTORIES)
def test_information_gain_is_never_negative(world: Enumerated, places: list[int]) -> None:
    for image in range(0, 24, 5):
        before = world.entropy(image, places)
        gain = before - scores(world, ExactPosterior(world), image, places, "cross-entropy")
        assert gain.min() >= -1e-9
        assert gain[4].item() == pytest.approx(0, abs=1e-9)  # that place shows the same in all images
        assert all(gain[place].item() == pytest.approx(0, abs=1e-9) for place in places)


@pytest.mark.parametrize("wrong", [Sharpened, Tilted])
@pytest.mark.parametrize("places", HISTORIES)
def test_cross_entropy_bounds_the_epe_from_above_whatever_q(
    world: Enumerated, places: list[int], wrong: type[ExactPosterior]
) -> None:
    for image in range(0, 24, 5):
        bound = scores(world, wrong(world), image, places, "cross-entropy")
        assert (bound - torch.tensor(world.epe(image, places))).min() >= -1e-6


def test_overconfidence_lowers_the_entropy_but_not_the_cross_entropy(world: Enumerated) -> None:
    exact = torch.tensor(world.epe(0, [0]))
    assert scores(world, Sharpened(world), 0, [0], "entropy").mean() < exact.mean() - 0.1
    assert scores(world, Sharpened(world), 0, [0], "cross-entropy").mean() > exact.mean() + 0.1


def test_scores_of_single_completions(world: Enumerated) -> None:
    """Of the completion itself: -log p of its own label, and the entropy, after one glimpse more."""
    embeddings, q = embeddings_of(world), ExactPosterior(world)
    total = torch.zeros(1, 1, embeddings.shape[-1])
    labels = world.split.labels
    crossed = candidate_scores(q, total, 1, embeddings, labels, "cross-entropy")
    plain = candidate_scores(q, total, 1, embeddings, labels, "entropy")
    assert crossed.shape == plain.shape == (24, 9)
    for n in range(24):
        for place in range(9):
            p = world.posterior(n, [place])[int(labels[n])]
            assert crossed[n, place].item() == pytest.approx(-math.log(p), abs=1e-6)
            assert plain[n, place].item() == pytest.approx(world.entropy(n, [place]), abs=1e-6)


@pytest.mark.parametrize("score", ["entropy", "cross-entropy"])
def test_completions_count_as_often_as_they_are_drawn(world: Enumerated, score: str) -> None:
    embeddings, q, labels = embeddings_of(world), ExactPosterior(world), world.split.labels
    drawn = torch.tensor([1, 1, 1, 1, 5, 9, 9])
    total = torch.zeros(embeddings.shape[-1])
    one_by_one = candidate_scores(q, total, 1, embeddings[drawn], labels[drawn], score)
    found = expected_scores(q, total, 1, embeddings, labels, drawn, score)
    assert torch.allclose(found, one_by_one.mean(0))
    assert not torch.allclose(found, one_by_one[[0, 4, 5]].mean(0))


@pytest.mark.parametrize("score", ["entropy", "cross-entropy"])
def test_greedy_search_with_exact_parts_is_the_exact_greedy_design(world: Enumerated, score: str) -> None:
    steps, rows = 3, torch.arange(24)
    designer = Designer(exact_approximations(world, steps), score=score, completions=2520)
    found = greedy_designs(designer, world.split, rows, steps, [1.0] * steps, seed=0)
    chosen = GEOMETRY.grid().index(found.locations).tolist()
    for image in rows.tolist():
        for step in range(steps):
            seen = chosen[image][:step]
            exact = np.array(world.epe(image, seen))
            free = [place for place in range(9) if place not in seen]
            assert found.epe_map[image, step, free].tolist() == pytest.approx(exact[free].tolist(), abs=2e-3)
            assert exact[chosen[image][step]] == pytest.approx(exact[free].min(), abs=4e-3)
            assert found.epe[image, step].item() == pytest.approx(exact[free].min(), abs=4e-3)
            assert found.entropy[image, step + 1].item() == pytest.approx(
                world.entropy(image, chosen[image][: step + 1]), abs=1e-6
            )
        assert found.entropy[image, 0].item() == pytest.approx(world.entropy(image, []))
