import math
from functools import cache

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, Enumerated, ExactPosterior, exact_approximations
from torch import Tensor

from boed.combination import Combination
from boed.estimators.epe import candidate_scores, entropy, expected_scores
from boed.estimators.registry import SCORES
from boed.search.designer import Designer, design_sequences

HISTORIES: list[list[int]] = [[], [0], [0, 5], [8, 1, 3]]


@pytest.fixture(scope="module")
def world() -> Enumerated:
    return Enumerated()


@cache
def statistics_of(world: Enumerated) -> Tensor:
    """(M, L, D) of all images at all places."""
    bank = exact_approximations(world).embedded()
    return bank.statistics(torch.arange(len(bank))).double()


def scores(world: Enumerated, q: ExactPosterior, image: int, places: list[int], score: str) -> Tensor:
    """(L,) of one image, given uniform weights on the images that look the same."""
    total = statistics_of(world)[image, places].sum(0)
    completions = torch.tensor(world.consistent(image, places))
    weights = torch.full((1, len(completions)), 1 / len(completions), dtype=torch.float64)
    candidates, labels = statistics_of(world)[completions], world.split.labels[completions]
    return expected_scores(q, total[None], len(places) + 1, candidates[None], labels[None], weights, score)[0]


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
@pytest.mark.parametrize("score", SCORES)
def test_scores_of_an_exact_posterior_are_the_exact_epe(
    world: Enumerated, places: list[int], score: str
) -> None:
    """The bound of Barber and Agakov is tight when q is exact, so all scores are the EPE."""
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


def test_information_is_what_the_label_and_the_glimpse_share(world: Enumerated) -> None:
    """With a wrong q the score differs from the entropy, by how far the mean of q moves: summed by loops."""
    q, completions = Tilted(world), [3, 8, 8, 17]
    total = statistics_of(world)[3, [0]].sum(0)
    weights = torch.tensor([[0.4, 0.1, 0.2, 0.3]], dtype=torch.float64)
    candidates, nothing = statistics_of(world)[completions][None], torch.zeros(1, 4, dtype=torch.int64)
    found = expected_scores(q, total[None], 2, candidates, nothing, weights, "information")[0]
    plain = expected_scores(q, total[None], 2, candidates, nothing, weights, "entropy")[0]
    now = entropy(q.logits(total.clone(), 1))
    for place in range(9):
        shown = [q.logits(total + statistics_of(world)[n, place], 2).softmax(-1) for n in completions]
        mixed = sum(w * p for w, p in zip(weights[0], shown, strict=True))
        mean = sum(w * torch.special.entr(p).sum() for w, p in zip(weights[0], shown, strict=True))
        gain = torch.special.entr(torch.as_tensor(mixed)).sum() - mean
        assert gain >= -1e-9  # mutual information, whatever q
        assert found[place].item() == pytest.approx((now - gain).item(), abs=1e-9)
        assert plain[place].item() == pytest.approx(float(mean), abs=1e-9)
    assert (found - plain).abs().max() > 0.01


def test_scores_of_single_completions(world: Enumerated) -> None:
    """Of the completion itself: -log p of its own label, and the entropy, after one glimpse more."""
    q, labels = ExactPosterior(world), world.split.labels
    logits = q.logits(statistics_of(world), 1)
    crossed = candidate_scores(logits, labels, "cross-entropy")
    plain = candidate_scores(logits, labels, "entropy")
    assert crossed.shape == plain.shape == (24, 9)
    for n in range(24):
        for place in range(9):
            p = world.posterior(n, [place])[int(labels[n])]
            assert crossed[n, place].item() == pytest.approx(-math.log(p), abs=1e-6)
            assert plain[n, place].item() == pytest.approx(world.entropy(n, [place]), abs=1e-6)


@pytest.mark.parametrize("score", SCORES)
def test_a_weight_is_worth_as_many_completions(world: Enumerated, score: str) -> None:
    q, labels, statistics = ExactPosterior(world), world.split.labels, statistics_of(world)
    drawn = torch.tensor([1, 1, 1, 1, 5, 9, 9])
    once = torch.tensor([1, 5, 9])
    total = torch.zeros(1, statistics.shape[-1], dtype=torch.float64)

    def expected(rows: Tensor, weights: list[float]) -> Tensor:
        given = torch.tensor([weights], dtype=torch.float64)
        return expected_scores(q, total, 1, statistics[rows][None], labels[rows][None], given, score)

    found = expected(once, [4 / 7, 1 / 7, 2 / 7])
    assert found.dtype == torch.float64 and found.shape == (1, 9)
    assert torch.allclose(found, expected(drawn, [1 / 7] * 7))
    assert not torch.allclose(found, expected(once, [1 / 3] * 3))


@pytest.mark.parametrize("score", SCORES)
def test_images_of_a_batch_are_scored_each_with_its_own(world: Enumerated, score: str) -> None:
    q, labels, statistics = ExactPosterior(world), world.split.labels, statistics_of(world)
    rows = torch.tensor([[0, 5, 9], [20, 3, 11]])
    weights = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], dtype=torch.float64)
    totals = statistics[[4, 7], [2, 8]]
    whole = expected_scores(q, totals, 2, statistics[rows], labels[rows], weights, score)
    for n in (0, 1):
        part = slice(n, n + 1)
        alone = expected_scores(
            q, totals[part], 2, statistics[rows[part]], labels[rows[part]], weights[part], score
        )
        assert torch.allclose(whole[part], alone, atol=1e-12)
    assert not torch.allclose(whole[0], whole[1])


@pytest.mark.parametrize("score", SCORES)
def test_greedy_search_with_exact_parts_is_the_exact_greedy_design(world: Enumerated, score: str) -> None:
    steps, rows = 3, torch.arange(24)
    designer = Designer(exact_approximations(world, steps, Combination(score=score)), completions=2520)
    found = design_sequences(designer, world.split, rows, steps, [1.0] * steps, seed=0)
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
