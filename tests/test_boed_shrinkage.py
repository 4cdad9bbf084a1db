import pytest
import torch
from boed_tiny import PLACES, Enumerated, exact_approximations
from torch import Tensor

import boed.search.shrinkage
from boed.estimators.epe import candidate_scores
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.search.shrinkage import AverageMaps, choose_weight, shrunk


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_weight_is_zero_when_the_own_map_is_noise() -> None:
    average = torch.linspace(0, 1, 8, dtype=torch.float64).expand(200, -1)
    for seed in range(5):
        realised = average + draws(200, 8, seed=seed) - 0.5
        assert choose_weight(average, draws(200, 8, seed=100 + seed), realised) == 0


def test_weight_is_positive_when_the_own_map_is_the_truth() -> None:
    realised = draws(200, 8)
    average = realised.mean(0).expand(200, -1)
    weight = choose_weight(average, realised, realised)
    assert weight > 0.3
    loss = realised.gather(1, shrunk(average, realised, weight).argmin(1, keepdim=True)).mean()
    assert loss < realised[:, average[0].argmin()].mean() - 0.1


def test_weight_between_for_a_noisy_truth() -> None:
    """The best share of the own map is less the noisier it is."""
    truth = torch.randn(4000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average = 0.5 * torch.randn(10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    noise = torch.randn(4000, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = [
        choose_weight(average.expand(4000, -1), average + truth + s * noise, average + truth)
        for s in (0.0, 2.0)
    ]
    assert found[0] > found[1] > 0


@pytest.mark.parametrize("share", [0.25, 0.8, 1.0])
def test_the_weight_is_the_share_of_the_own_map_in_what_is_realised(share: float) -> None:
    """Whatever is the same at all places of an image, and whatever the size of the differences."""
    average, own = draws(8).expand(50, -1), draws(50, 8, seed=1)
    level = draws(50, 1, seed=2) * 9
    realised = level + 0.4 * ((1 - share) * average + share * own)
    assert choose_weight(average, own, realised, errors=0) == share


def test_where_own_maps_tell_no_more_the_order_stays() -> None:
    same = draws(40, 6)
    assert choose_weight(same, same, draws(40, 6, seed=1)) == 0
    assert choose_weight(same, draws(40, 6, seed=1), torch.ones(40, 6)) == 0


def test_places_that_must_not_be_taken_stay_out() -> None:
    average, own = draws(30, 6), draws(30, 6, seed=1)
    own[:, 0] = -100.0
    own[3, 2] = torch.nan
    average[:, 0] = torch.inf
    average[3, 2] = torch.inf
    for weight in (0.0, 0.3, 1.0):
        found = shrunk(average, own, weight)
        assert torch.equal(found.isinf(), average.isinf())
        free = ~average.isinf()
        assert torch.allclose(found[free], (1 - weight) * average[free] + weight * own[free])
    assert choose_weight(average, own, draws(30, 6, seed=2).masked_fill(average.isinf(), -1e9)) >= 0
    assert torch.equal(shrunk(average, average, 1.0).isinf(), average.isinf())


class FakeBank:
    """Statistics of 70 images at nine places, and a q that reads them."""

    def __init__(self, kept: bool = True) -> None:
        torch.manual_seed(0)
        self.kept = kept
        self.q, self.width = GlimpseSetPosterior((1, 4, 4), 3, 4, 8).eval(), 8
        self.q.count_bias.data.normal_()
        self.known = torch.randn(70, 9, 8, generator=torch.Generator().manual_seed(0))
        self.labels, self.places = torch.arange(70) % 3, PLACES

    def __len__(self) -> int:
        return 70

    def statistics(self, rows: Tensor) -> Tensor:
        return self.known[rows]


def mean_score(bank: FakeBank, rows: list[int], history: list[int], score: str) -> list[float]:
    """(L,) the mean over the images `rows`, one at a time."""
    expected = torch.zeros(9, dtype=torch.float64)
    for n in rows:
        total = torch.stack([bank.known[n, place] for place in history] or [torch.zeros(8)]).sum(0)
        logits = bank.q.logits(total + bank.known[n], len(history) + 1)
        expected += candidate_scores(logits, bank.labels[n], score).double() / len(rows)
    return expected.tolist()


@pytest.mark.parametrize("score", ["entropy", "cross-entropy"])
@torch.no_grad()
def test_average_maps_are_the_mean_over_all_images(score: str) -> None:
    bank = FakeBank()
    averages = AverageMaps(bank, score)
    for history in ([], [4], [7, 2, 5]):
        found = averages(torch.tensor([history, history], dtype=torch.int64))
        assert found.shape == (2, 9) and found.dtype == torch.float64
        assert found[0].tolist() == pytest.approx(mean_score(bank, range(70), history, score), abs=1e-6)


@torch.no_grad()
def test_average_map_of_the_information_is_the_average_entropy() -> None:
    bank, history = FakeBank(), torch.tensor([[4, 2]])
    assert torch.equal(AverageMaps(bank, "information")(history), AverageMaps(bank, "entropy")(history))


@pytest.mark.parametrize(("pairs", "values"), [(9 * 20, 2**26), (40_000, 9 * 20 * 8), (10, 2**26)])
@pytest.mark.parametrize("everything", [True, False])
@torch.no_grad()
def test_fewer_images_where_pairs_or_statistics_would_be_too_many(
    monkeypatch: pytest.MonkeyPatch, pairs: int, values: int, everything: bool
) -> None:
    """As many as the limits allow, evenly spread; all before the first glimpse, unless they are too many."""
    monkeypatch.setattr(boed.search.shrinkage, "WHOLE_VALUES", 2**32 if everything else 0)
    monkeypatch.setattr(boed.search.shrinkage, "REFERENCE_ROWS", pairs)
    monkeypatch.setattr(boed.search.shrinkage, "REFERENCE_VALUES", values)
    bank, count = FakeBank(), max(1, min(pairs, values // 8) // 9)
    rows = torch.linspace(0, 69, count).long().tolist()
    assert len(rows) == (20 if pairs > 10 else 1)
    for whole in (False, True):
        averages = AverageMaps(bank, "cross-entropy", whole=whole)
        for history in ([], [4, 2]):
            images = range(70) if everything and (whole or not history) else rows
            found = averages(torch.tensor([history], dtype=torch.int64))[0]
            assert found.tolist() == pytest.approx(
                mean_score(bank, images, history, "cross-entropy"), abs=1e-6
            )


@torch.no_grad()
def test_an_average_of_fewer_images_is_theirs() -> None:
    bank = FakeBank()
    averages = AverageMaps(bank, "cross-entropy", images=5)
    rows = torch.linspace(0, 69, 5).long().tolist()
    found = averages(torch.tensor([[4, 2]]))[0].tolist()
    assert found == pytest.approx(mean_score(bank, rows, [4, 2], "cross-entropy"), abs=1e-6)
    whole = averages(torch.zeros(1, 0, dtype=torch.int64))[0].tolist()  # one map for all images: of all
    assert whole == pytest.approx(mean_score(bank, list(range(70)), [], "cross-entropy"), abs=1e-6)


@pytest.mark.parametrize("score", ["entropy", "cross-entropy"])
@pytest.mark.parametrize("whole", [True, False])
@torch.no_grad()
def test_an_average_without_an_image_is_that_of_the_others(score: str, whole: bool) -> None:
    """Whether it is among the references, as 0, 17 and 69 are of five, or not."""
    bank, history = FakeBank(), torch.tensor([[4, 2]])
    averages = AverageMaps(bank, score, whole=whole, images=5)
    rows = torch.tensor([0, 1, 17, 18, 69])
    own = torch.tensor([mean_score(bank, [row], [4, 2], score) for row in rows.tolist()])
    found = averages.without(rows, averages(history).expand(5, -1), own)
    references = list(range(70)) if whole else torch.linspace(0, 69, 5).long().tolist()
    for row, its in zip(rows.tolist(), found.tolist(), strict=True):
        others = [reference for reference in references if reference != row]
        assert its == pytest.approx(mean_score(bank, others, [4, 2], score), abs=1e-6)


@torch.no_grad()
def test_without_the_only_image_an_average_says_nothing() -> None:
    bank, rows = FakeBank(), torch.tensor([0])
    averages = AverageMaps(bank, "entropy", images=1)
    own = torch.tensor([mean_score(bank, [0], [4], "entropy")])
    assert averages.without(rows, averages(torch.tensor([[4]])), own).abs().max() < 1e-5


@torch.no_grad()
def test_an_average_does_not_depend_on_what_is_asked_beside_it() -> None:
    histories = torch.tensor([[1, 5], [0, 8], [2, 3]])
    together = AverageMaps(FakeBank(), "cross-entropy")(histories)
    for row in range(3):
        alone = AverageMaps(FakeBank(), "cross-entropy")(histories[row : row + 1])
        assert torch.equal(alone[0], together[row])


@torch.no_grad()
def test_average_maps_do_not_depend_on_the_order_of_the_history() -> None:
    bank = FakeBank()
    averages = AverageMaps(bank, "cross-entropy")
    found = averages(torch.tensor([[1, 5, 8], [8, 1, 5], [0, 1, 2], [5, 8, 1]]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[3])
    assert not torch.equal(found[0], found[2])
    afresh = AverageMaps(bank, "cross-entropy")(torch.tensor([[8, 5, 1]]))
    assert torch.equal(afresh[0], found[0])  # nor on which order was asked for first


@torch.no_grad()
def test_averages_of_the_last_histories_are_kept_and_others_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(boed.search.shrinkage, "KEPT", 2)
    averages, histories = AverageMaps(FakeBank(), "cross-entropy"), torch.tensor([[1, 5], [0, 8], [2, 3]])
    computed, compute = list[int](), averages._averages

    def counted(new: Tensor) -> Tensor:
        computed.append(len(new))
        return compute(new)

    monkeypatch.setattr(averages, "_averages", counted)
    first = averages(histories)
    assert len(averages._known) == 2
    averages(histories[1:2])  # in use again, so that (2, 3) is the oldest now
    averages(histories[:1])
    assert averages._known.keys() == {(0, 8), (1, 5)}
    assert torch.equal(averages(histories), first)
    assert computed == [3, 1, 1]


def test_average_map_of_an_exact_posterior_is_the_mean_epe() -> None:
    world = Enumerated()
    averages = AverageMaps(exact_approximations(world).embedded(), "cross-entropy")
    for places in ([], [3], [0, 5]):
        expected = [sum(world.epe(n, places)[place] for n in range(24)) / 24 for place in range(9)]
        assert averages(torch.tensor([places]).long())[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("errors", [0.0, 2.0])
def test_a_single_image_gives_no_weight(errors: float) -> None:
    """It has no standard error that its advantage could exceed."""
    average, own = torch.tensor([[0.0, 0.1]]), torch.tensor([[1.0, 0.0]])
    assert choose_weight(average, own, own, errors) == 0
    assert choose_weight(average.expand(2, -1), own.expand(2, -1), own.expand(2, -1), errors) > 0
