"""Plans over several glimpses, against all of them, on worlds that can be enumerated."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations, split_of
from torch import Tensor

import boed.search.lookahead
from boed.approximations import Approximations
from boed.combination import Combination
from boed.completions.retrieval import tempered
from boed.estimators.epe import candidate_scores, expected_scores
from boed.estimators.estimator import Completed
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.search.designer import Designer, design_sequences
from boed.search.lookahead import best_set, planned, two_step_map

SCORES = ["cross-entropy", "entropy"]
HISTORIES = [[3], [4, 1]]  # the fourth place shows the same in all images
CLUES, HALVES = (2, 3), (0, 1)


class Xor(Enumerated):
    """Two classes. Two places tell the class only together; two others are right three times of four."""

    def __init__(self) -> None:
        worlds = list(product((0, 1), (0, 1), range(4), range(4)))
        self.cells = np.full((len(worlds), 9), 50)
        self.labels = np.array([a ^ b for a, b, _, _ in worlds])
        for n, (a, b, *errors) in enumerate(worlds):
            self.cells[n, list(HALVES)] = [100 * a, 100 * b]
            self.cells[n, list(CLUES)] = [100 * (self.labels[n] ^ (error == 0)) for error in errors]
        self.classes = 2
        self.split = split_of(self.cells, self.labels)


@pytest.fixture(scope="module", params=[0, 1])
def world(request: pytest.FixtureRequest) -> Enumerated:
    return Enumerated(40, seed=request.param)


@pytest.fixture(scope="module")
def learned(world: Enumerated) -> Approximations:
    return exact_approximations(world)


def situation(
    world: Enumerated, learned: Approximations, image: int, history: list[int], score: str
) -> tuple[Completed, Tensor, Tensor]:
    """Completions by all consistent images, the summed statistics and the map of one more glimpse."""
    rows = torch.tensor(world.consistent(image, history))
    bank = learned.embedded()
    weights = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    completed = Completed(bank.statistics(rows), bank.labels[rows], weights)
    total = bank.statistics(torch.tensor([image]))[0, history].sum(0)
    scores = one_step(learned, completed, total, len(history), score)
    scores[history] = torch.inf
    return completed, total, scores


def ambiguous(world: Enumerated, history: list[int]) -> list[int]:
    """Two images of which much is open after their glimpses."""
    alike = [len(world.consistent(n, history)) for n in range(len(world.labels))]
    return [alike.index(max(alike)), alike.index(sorted(set(alike))[-2])]


def one_step(learned: Approximations, made: Completed, total: Tensor, count: int, score: str) -> Tensor:
    assert made.labels is not None
    candidates, labels, weights = made.statistics[None], made.labels[None], made.weights[None]
    return expected_scores(learned.q, total[None], count + 1, candidates, labels, weights, score)[0]


def expected_entropy(world: Enumerated, image: int, history: list[int], places: tuple[int, ...]) -> float:
    """After glimpses at all the places, by the definition."""
    found = world.consistent(image, history)
    return sum(world.entropy(n, [*history, *places]) for n in found) / len(found)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
@torch.no_grad()
def test_two_steps_ahead_is_the_expected_best_second_step(
    world: Enumerated,
    learned: Approximations,
    monkeypatch: pytest.MonkeyPatch,
    history: list[int],
    score: str,
) -> None:
    """Where only completions that look the same at the first place count for the second."""
    monkeypatch.setattr(boed.search.lookahead, "ALIKE", 0.0)
    for image in ambiguous(world, history):
        completed, total, scores = situation(world, learned, image, history, score)
        found = two_step_map(learned.q, completed, total, len(history), scores, score)
        consistent = world.consistent(image, history)
        for place in range(9):
            if place in history:
                assert found[place] == torch.inf
                continue
            free = [other for other in range(9) if other not in (*history, place)]
            maps = [world.epe(n, [*history, place]) for n in consistent]
            expected = sum(min(each[other] for other in free) for each in maps) / len(maps)
            assert found[place].item() == pytest.approx(expected, abs=1e-6)


def any_completions() -> tuple[GlimpseSetPosterior, Completed, Tensor]:
    """A network that knows the number of glimpses, and completions of which one place says far too much."""
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 3, 4, 8).eval()
    q.count_bias.data.normal_(std=3)
    statistics = torch.randn(12, 9, 8)
    statistics[:, 3] *= 5  # twice is worth more than with any other
    return q, Completed(statistics, torch.arange(12) % 3, torch.rand(12).softmax(0)), torch.randn(8)


def scores_after(
    q: GlimpseSetPosterior, made: Completed, total: Tensor, m: int, places: list[int], score: str
) -> Tensor:
    """(L,) of completion m after one glimpse of the history, its own at the places and one more."""
    assert made.labels is not None
    known = total + made.statistics[m, places].sum(0)
    logits = q.logits(known + made.statistics[m], 2 + len(places))
    return candidate_scores(logits, made.labels[m], score).double()


@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_two_step_map_with_any_network_weights_and_kernel(score: str) -> None:
    """By loops; the kernel is that of the retrieval, on the statistics at the first place."""
    q, completed, total = any_completions()
    scores = torch.arange(9.0, dtype=torch.float64)
    scores[4] = torch.inf
    found = two_step_map(q, completed, total, 1, scores, score)
    for place in (0, 3, 8):
        shown, expected = completed.statistics[:, place], 0.0
        after = torch.stack([scores_after(q, completed, total, m, [place], score) for m in range(12)])
        for n, weight in enumerate(completed.weights.tolist()):
            distances = (shown - shown[n]).double().square().sum(1)[None]
            mean = tempered(distances, boed.search.lookahead.ALIKE * 12, completed.weights).exp()[0] @ after
            mean[[4, place]] = torch.inf
            expected += weight * float(mean.min())
        assert found[place].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_a_wide_beam_with_any_network_and_weights(
    monkeypatch: pytest.MonkeyPatch, score: str, depth: int
) -> None:
    """Every set by loops over completions."""
    monkeypatch.setattr(boed.search.lookahead, "BEAM_WIDTH", 100)
    q, completed, total = any_completions()
    scores = torch.arange(9.0, dtype=torch.float64)
    scores[4] = torch.inf
    values = {}
    for places in combinations([place for place in range(9) if place != 4], depth):
        *before, last = places
        after = [scores_after(q, completed, total, m, before, score)[last] for m in range(12)]
        values[places] = float(completed.weights.double() @ torch.stack(after))
    found = tuple(sorted(best_set(q, completed, total, 1, depth, scores, score).tolist()))
    assert values[found] == pytest.approx(min(values.values()), abs=1e-6)


@pytest.mark.parametrize("most", [1, 3, 8])
@torch.no_grad()
def test_only_the_best_by_one_step_are_looked_beyond(
    world: Enumerated, learned: Approximations, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(boed.search.lookahead, "CANDIDATES", most)
    completed, total, scores = situation(world, learned, 0, [3], "entropy")
    found = two_step_map(learned.q, completed, total, 1, scores, "entropy")
    best = scores.argsort(stable=True)[:most]
    assert found.isfinite().sum() == most
    assert scores[found.isfinite()].sort().values.tolist() == pytest.approx(scores[best].tolist())


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
@torch.no_grad()
def test_a_wide_beam_finds_the_best_set_of_all(
    world: Enumerated,
    learned: Approximations,
    monkeypatch: pytest.MonkeyPatch,
    history: list[int],
    score: str,
    depth: int,
) -> None:
    monkeypatch.setattr(boed.search.lookahead, "BEAM_WIDTH", 100)
    for image in ambiguous(world, history):
        completed, total, scores = situation(world, learned, image, history, score)
        found = best_set(learned.q, completed, total, len(history), depth, scores, score).tolist()
        free = [place for place in range(9) if place not in history]
        values = {s: expected_entropy(world, image, history, s) for s in combinations(free, depth)}
        assert values[tuple(sorted(found))] == pytest.approx(min(values.values()), abs=1e-6)
        assert min(values.values()) < np.median(list(values.values())) - 0.02


@pytest.mark.parametrize("width", [1, 2, 8])
@torch.no_grad()
def test_a_beam_never_takes_a_place_twice_nor_one_of_the_history(
    world: Enumerated, learned: Approximations, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(boed.search.lookahead, "BEAM_WIDTH", width)
    for history in ([3], [8, 1], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]):
        completed, total, scores = situation(world, learned, 0, history, "entropy")
        found = best_set(learned.q, completed, total, len(history), 3, scores, "entropy").tolist()
        assert len({*found, *history}) == len(history) + 3
    greedy = best_set(learned.q, completed, total, len(history), 1, scores, "entropy")
    assert len(greedy) == 1 and scores[greedy[0]] == scores.min()


@torch.no_grad()
def test_a_weight_is_worth_as_many_completions(
    world: Enumerated, learned: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boed.search.lookahead, "ALIKE", 0.0)
    completed, total, _ = situation(world, learned, 0, [3], "cross-entropy")
    times = 1 + torch.arange(len(completed.weights)) % 3
    rows = torch.arange(len(times)).repeat_interleave(times)
    assert completed.labels is not None
    weighted = Completed(completed.statistics, completed.labels, times.double() / times.sum())
    uniform = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    repeated = Completed(completed.statistics[rows], completed.labels[rows], uniform)
    scores = one_step(learned, weighted, total, 1, "cross-entropy")
    for search in ("lookahead", "beam"):
        one, other = (
            planned(search, learned.q, c, total, 1, 2, scores, "cross-entropy") for c in (weighted, repeated)
        )
        assert one[0] == other[0] and torch.allclose(one[1], other[1], atol=1e-9)


@torch.no_grad()
def test_a_plan_begins_with_its_best_first_place(world: Enumerated, learned: Approximations) -> None:
    completed, total, scores = situation(world, learned, 0, [3], "entropy")
    place, found = planned("beam", learned.q, completed, total, 1, 2, scores, "entropy")
    pair = best_set(learned.q, completed, total, 1, 2, scores, "entropy").tolist()
    assert place in pair and scores[place] == scores[pair].min() and torch.equal(found, scores)
    place, found = planned("lookahead", learned.q, completed, total, 1, 2, scores, "entropy")
    assert torch.equal(found, two_step_map(learned.q, completed, total, 1, scores, "entropy"))
    assert found[place] == found.min()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("search", ["greedy", "beam", "lookahead"])
def test_only_a_search_that_looks_ahead_finds_the_pair(search: str, score: str) -> None:
    """After a clue greedy takes the other clue, for half of the pair tells nothing; then it is too late."""
    world, steps = Xor(), 3
    rows = torch.arange(len(world.labels))
    learned = exact_approximations(world, steps, Combination(score=score))
    designer = Designer(learned, search=search, completions=64)
    found = design_sequences(designer, world.split, rows, steps, designer.weights, seed=0)
    chosen = GEOMETRY.grid().index(found.locations).tolist()
    assert {row[0] for row in chosen} <= set(CLUES) and len({row[0] for row in chosen}) == 1
    if search == "greedy":
        assert {row[1] for row in chosen} == set(CLUES) - {chosen[0][0]}
        assert found.entropy[:, 3].min() > 0.3
    else:
        assert {tuple(sorted(row[1:])) for row in chosen} == {HALVES}
        assert found.entropy[:, 3].abs().max() < 1e-6
    assert world.epe(0, [CLUES[0]])[HALVES[0]] == pytest.approx(world.entropy(0, [CLUES[0]]))


@pytest.mark.parametrize("search", ["beam", "lookahead"])
def test_a_grid_of_few_places_is_searched_too(search: str) -> None:
    world = Enumerated()
    learned = exact_approximations(world)
    learned.places = PLACES[[0, 2, 5]]
    found = design_sequences(
        Designer(learned, search=search), world.split, torch.arange(24), 3, (1.0,) * 3, seed=0
    )
    assert all(len({tuple(place) for place in row}) == 3 for row in found.locations.tolist())
