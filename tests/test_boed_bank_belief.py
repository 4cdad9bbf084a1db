"""Expected scores under the bank, against loops over images, places and draws."""

import math
from collections.abc import Sequence

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, Enumerated, exact_approximations, pointer_split, some_of
from torch import Tensor

import boed.estimators.bank_belief
import boed.estimators.shared_completions
from boed.completions.retrieval import RetrievalCompletion, effective_sample_size, tempered
from boed.estimators.bank import Bank
from boed.estimators.bank_belief import BankBelief
from boed.estimators.registry import SCORES
from boed.posteriors.avp_cnn import AvpCnnPosterior
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from data.dataset import Split

IMAGES, STEPS, DRAWS, TARGET = 30, 3, 40, 6.0
HISTORIES = [[4], [4, 0], [7, 1, 2]]
OFFSETS = torch.rand(5, STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def bank() -> Bank:
    torch.manual_seed(0)
    q = GlimpseSetPosterior((1, 4, 4), 4, STEPS + 1, 8).eval()
    q.head.linear.weight.data.mul_(8)  # so that it says something
    return Bank(q, pointer_split(IMAGES, seed=0), PLACES, GEOMETRY)


@pytest.fixture(scope="module")
def seen() -> Split:
    return pointer_split(5, seed=1)


def belief_of(
    bank: Bank,
    split: Split,
    rows: Sequence[int],
    places: list[int],
    *,
    score: str = "cross-entropy",
    excluded: Tensor | None = None,
    target: float = TARGET,
    count: int = DRAWS,
) -> BankBelief:
    """After glimpses of the images `rows`, all of them at the same places."""
    retina = GEOMETRY.retina()
    offsets = OFFSETS[[row % 5 for row in rows]]
    completion = RetrievalCompletion(bank.split, retina, target)
    belief = BankBelief(bank, completion, offsets, count, score, excluded)
    for place in places:
        location = PLACES[place].expand(len(rows), 1, 3)
        glimpses = retina(split.images, torch.tensor(rows), location)[:, 0]
        belief.observe(glimpses, torch.full((len(rows),), place))
    return belief


def totals_of(bank: Bank, split: Split, rows: Sequence[int], places: list[int]) -> Tensor:
    """(B, D) double."""
    own = Bank(bank.q, split, PLACES, GEOMETRY).statistics(torch.tensor(rows))
    return own[:, places].sum(1).double()


def naive_distances(bank: Bank, image: Tensor, places: list[int]) -> Tensor:
    """(M,) of integers."""
    gaps = []
    for place in places:
        top, left, _ = PLACES[place].tolist()
        one, all_ = (x[..., top : top + 4, left : left + 4, :].long() for x in (image, bank.split.images))
        gaps.append((one - all_).square().flatten(1).sum(1))
    return torch.stack(gaps).sum(0).double()


def naive_joint(bank: Bank, found: Tensor, total: Tensor, seen: int) -> Tensor:
    """(M,) log-weights whose labels have the shares of q, class by class."""
    log_q = bank.q.logits(total.float(), seen).log_softmax(-1)
    weights = torch.zeros_like(found)
    for k in bank.labels.unique():
        here = bank.labels == k
        weights[here] = log_q[k].exp() * found[here].softmax(0)
    return (weights / weights.sum()).log()


def naive_draws(log_weights: Tensor, offset: float) -> list[int]:
    """Systematic resampling: a comb of equally spaced points over the cumulative weights."""
    drawn, cumulative, points = list[int](), 0.0, [(n + offset) / DRAWS for n in range(DRAWS)]
    for image, weight in enumerate(log_weights.exp().tolist()):
        drawn += [image for point in points if cumulative <= point < cumulative + weight]
        cumulative += weight
    return drawn


@torch.no_grad()
def naive_map(bank: Bank, total: Tensor, count: int, drawn: list[int], score: str) -> list[float]:
    """(L,) the mean of the score over the draws, by loops."""
    found = []
    for place in range(9):
        shown = [bank.statistics(torch.tensor([n]))[0, place] for n in drawn]
        posteriors = [bank.q.logits(total.float() + one, count).softmax(-1).double() for one in shown]
        if score == "cross-entropy":
            labels = [int(bank.labels[n]) for n in drawn]
            losses = [-math.log(p[k]) for p, k in zip(posteriors, labels, strict=True)]
        else:
            losses = [float(torch.special.entr(p).sum()) for p in posteriors]
        found.append(sum(losses) / len(losses))
        if score == "information":
            now = torch.special.entr(bank.q.logits(total.float(), count - 1).softmax(-1)).sum()
            mixed = torch.special.entr(torch.stack(posteriors).mean(0)).sum()
            found[-1] += float(now - mixed)
    return found


@pytest.mark.parametrize("places", HISTORIES, ids=str)
@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_a_map_is_the_mean_over_the_drawn_images(
    bank: Bank, seen: Split, places: list[int], score: str
) -> None:
    belief = belief_of(bank, seen, range(5), places, score=score)
    totals, count = totals_of(bank, seen, range(5), places), len(places) + 1
    found = belief.own_map(totals, count)
    assert found.shape == (5, 9) and found.dtype == torch.float64
    for row in (0, 3):
        distances = naive_distances(bank, seen.images[row], places)
        assert torch.equal(belief.distances[row], distances)
        log_weights = tempered(distances[None], TARGET)[0]
        log_weights = naive_joint(bank, log_weights, totals[row], len(places))
        drawn = naive_draws(log_weights, OFFSETS[row, len(places) - 1].item())
        assert len(set(drawn)) > 3
        expected = naive_map(bank, totals[row], count, drawn, score)
        assert found[row].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_some_places_are_part_of_all(bank: Bank, seen: Split, score: str) -> None:
    belief = belief_of(bank, seen, range(5), [4], score=score)
    totals, wanted = totals_of(bank, seen, range(5), [4]), some_of(5)
    found, whole = belief.own_map(totals, 2, wanted), belief.own_map(totals, 2)
    torch.testing.assert_close(found, whole.masked_fill(~wanted, torch.inf), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_map_in_parts_is_about_the_same_draws(
    bank: Bank, seen: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are drawn once, and again after a glimpse."""
    drawn, log_weights = list[int](), RetrievalCompletion.log_weights

    def counted(self: RetrievalCompletion, distances: Tensor) -> Tensor:
        drawn.append(len(distances))
        return log_weights(self, distances)

    monkeypatch.setattr(RetrievalCompletion, "log_weights", counted)
    belief, totals = belief_of(bank, seen, range(5), [4]), totals_of(bank, seen, range(5), [4])
    maps = [belief.own_map(totals, 2) for _ in range(2)]
    belief.observe(torch.zeros(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))
    maps.append(belief.own_map(totals, 2))
    assert drawn == [5, 5]
    assert torch.equal(maps[0], maps[1]) and not torch.equal(maps[1], maps[2])


@torch.no_grad()
def test_only_the_wanted_places_are_scored(bank: Bank, seen: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    scored, logits = list[int](), bank.q.logits

    def counted(total: Tensor, count: int) -> Tensor:
        scored.append(total.shape[-2])
        return logits(total, count)

    monkeypatch.setattr(bank.q, "logits", counted)
    totals, wanted = totals_of(bank, seen, range(5), [4]), some_of(5)
    belief_of(bank, seen, range(5), [4]).own_map(totals, 2, wanted)
    assert scored == [1, 3, 9]  # the shares of the classes first; of the other images there are none


@pytest.mark.parametrize("score", SCORES)
@torch.no_grad()
def test_maps_do_not_depend_on_the_images_beside(bank: Bank, seen: Split, score: str) -> None:
    together = belief_of(bank, seen, range(5), [4, 0], score=score)
    totals = totals_of(bank, seen, range(5), [4, 0])
    whole = together.own_map(totals, 3)
    for row in range(5):
        alone = belief_of(bank, seen, [row], [4, 0], score=score).own_map(totals[row : row + 1], 3)
        assert torch.equal(alone[0], whole[row])


@pytest.mark.parametrize("size", [1, 7])
@torch.no_grad()
def test_maps_do_not_depend_on_how_pairs_are_packed(
    bank: Bank, seen: Split, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Neither an image's group nor the block that its pairs fall into changes a bit."""
    totals = totals_of(bank, seen, range(5), [4, 0])
    whole = belief_of(bank, seen, range(5), [4, 0]).own_map(totals, 3)
    monkeypatch.setattr(boed.estimators.shared_completions, "IMAGES", 2)
    monkeypatch.setattr(boed.estimators.shared_completions, "CACHED_VALUES", 9 * bank.width * size)
    assert torch.equal(belief_of(bank, seen, range(5), [4, 0]).own_map(totals, 3), whole)


@torch.no_grad()
def test_an_image_that_is_drawn_often_is_scored_once(
    bank: Bank, seen: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored, logits = list[int](), bank.q.logits

    def counted(total: Tensor, count: int) -> Tensor:
        scored.append(len(total))
        return logits(total, count)

    belief, totals = belief_of(bank, seen, range(5), [4]), totals_of(bank, seen, range(5), [4])
    drawn = belief.completion.draw(belief.weights(totals), DRAWS, belief.offsets[:, 0])
    monkeypatch.setattr(bank.q, "logits", counted)
    monkeypatch.setattr(boed.estimators.shared_completions, "CACHED_VALUES", 1)
    belief.own_map(totals, 2)
    assert scored[1:] == [1] * sum(len(rows.unique()) for rows in drawn)  # first the shares of the classes


@torch.no_grad()
def test_completions_have_the_labels_that_q_believes_in(bank: Bank, seen: Split) -> None:
    belief, totals = belief_of(bank, seen, range(5), [4, 0]), totals_of(bank, seen, range(5), [4, 0])
    weights, shares = belief.weights(totals).exp(), bank.q.logits(totals.float(), 2).softmax(1)
    for k in bank.labels.unique().tolist():
        torch.testing.assert_close(weights[:, bank.labels == k].sum(1).float(), shares[:, k])


@torch.no_grad()
def test_the_order_of_the_glimpses_does_not_matter(bank: Bank, seen: Split) -> None:
    one, other = (belief_of(bank, seen, range(5), places) for places in ([7, 1, 2], [1, 2, 7]))
    assert torch.equal(one.distances, other.distances)
    totals = totals_of(bank, seen, range(5), [7, 1, 2])
    assert torch.equal(one.own_map(totals, 4), other.own_map(totals, 4))


def test_images_may_look_at_places_of_their_own(bank: Bank, seen: Split) -> None:
    places = torch.tensor([4, 0, 4, 8, 0])
    belief = belief_of(bank, seen, range(5), [])
    belief.observe(GEOMETRY.retina()(seen.images, torch.arange(5), PLACES[places, None])[:, 0], places)
    for row, place in enumerate(places.tolist()):
        assert torch.equal(belief.distances[row], naive_distances(bank, seen.images[row], [place]))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("wanted", [None, torch.ones(5, 9, dtype=torch.bool)], ids=["together", "by-image"])
@torch.no_grad()
def test_blocks_of_completions_change_nothing(
    bank: Bank, seen: Split, monkeypatch: pytest.MonkeyPatch, wanted: torch.Tensor | None, score: str
) -> None:
    belief = belief_of(bank, seen, range(5), [4], score=score)
    totals = totals_of(bank, seen, range(5), [4])
    whole = belief.own_map(totals, 2)
    monkeypatch.setattr(boed.estimators.bank_belief, "BATCH_VALUES", 9 * bank.width * 2)  # two completions
    assert torch.allclose(belief.own_map(totals, 2, wanted), whole, atol=1e-6)


@torch.no_grad()
def test_an_excluded_image_completes_nothing(bank: Bank) -> None:
    """Images of the bank itself: without the exclusion each would be its own best completion."""
    rows = [3, 8, 20, 21, 29]
    split = bank.split.take(torch.tensor(rows))
    for excluded in (None, torch.tensor(rows)[:, None] == torch.arange(IMAGES)):
        belief = belief_of(bank, split, range(5), [4, 0], excluded=excluded)
        totals = totals_of(bank, split, range(5), [4, 0])
        weights = belief.weights(totals).exp()
        own = weights[torch.arange(5), rows]
        found = belief.completion.log_weights(belief.distances).exp()
        assert torch.equal(found[range(5), rows], found.amax(1)) == (excluded is None)
        assert own.tolist() == [0] * 5 or excluded is None
        assert belief.sample_size(totals).tolist() == pytest.approx((1 / weights.square().sum(1)).tolist())
        assert effective_sample_size(found.log()).flatten().tolist() == pytest.approx([6.0] * 5, rel=1e-3)


@torch.no_grad()
def test_completions_are_the_drawn_images_with_their_labels(bank: Bank, seen: Split) -> None:
    belief = belief_of(bank, seen, range(5), [4, 0])
    totals = totals_of(bank, seen, range(5), [4, 0])
    for row in range(5):
        made = belief.completed(row, totals)
        assert made.labels is not None
        drawn = naive_draws(belief.weights(totals)[row], OFFSETS[row, 1].item())
        rows = sorted(set(drawn))
        assert torch.equal(made.statistics, bank.statistics(torch.tensor(rows)))
        assert torch.equal(made.labels, bank.labels[rows])
        assert made.weights.tolist() == pytest.approx([drawn.count(n) / DRAWS for n in rows])
        losses = -bank.q.logits(totals[row].float() + made.statistics, 3).log_softmax(-1)
        chosen = losses.gather(2, made.labels[:, None, None].expand(-1, 9, 1))[..., 0]
        found = made.weights @ chosen.double()
        assert torch.allclose(found, belief.own_map(totals, 3)[row], atol=1e-6)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("places", HISTORIES, ids=str)
@torch.no_grad()
def test_with_exact_parts_a_map_is_the_exact_epe(score: str, places: list[int]) -> None:
    """So many draws as make all consistent images equally frequent."""
    world = Enumerated()
    bank = exact_approximations(world).embedded()
    for image in (0, 7, 16):
        draws = 2 * len(world.consistent(image, places))
        belief = belief_of(bank, world.split, [image], places, score=score, target=1.0, count=draws)
        total = totals_of(bank, world.split, [image], places)
        found = belief.own_map(total, len(places) + 1)[0]
        assert found.tolist() == pytest.approx(world.epe(image, places), abs=1e-5)


@torch.no_grad()
def test_maps_of_a_convolutional_posterior_do_not_depend_on_the_images_beside(seen: Split) -> None:
    torch.manual_seed(0)
    q = AvpCnnPosterior(GEOMETRY, 4, STEPS + 1, resolution=12, width=8).eval()
    bank = Bank(q, pointer_split(IMAGES, seed=0), PLACES, GEOMETRY)
    totals = totals_of(bank, seen, range(5), [4])
    whole = belief_of(bank, seen, range(5), [4]).own_map(totals, 2)
    for row in range(5):
        alone = belief_of(bank, seen, [row], [4]).own_map(totals[row : row + 1], 2)
        assert torch.equal(alone[0], whole[row])
