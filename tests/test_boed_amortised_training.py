"""Training of the amortised estimator: along the histories that it makes, from its seed alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from amortised_tiny import IMAGES, TASK, own_map, same_weights, small_world, trained, untrained
from boed_tiny import GEOMETRY, PLACES, ExactPosterior, exact_approximations
from torch import Tensor

import boed.fitting.estimator_training
import boed.fitting.fit_state
from boed.estimators.amortised import AmortisedEstimator
from boed.estimators.bank import Bank
from boed.estimators.epe import candidate_scores, entropy
from boed.fitting.estimator_training import realised_scores
from data.errors import CheckpointError, SettingsError


@pytest.fixture(scope="module")
def bank() -> Bank:
    return exact_approximations(small_world()).embedded()


@pytest.mark.parametrize("stops", [[1], [7], [5], [23], [6, 3, 9]], ids=str)
def test_an_interrupted_training_ends_with_the_same_network(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    monkeypatch.setattr(boed.fitting.fit_state, "SAVE_EVERY", 5)
    straight = trained(bank, tmp_path / "straight")
    rollout, calls = boed.fitting.estimator_training._rollout_loss, list[int]()

    def counted(*args: Any) -> Tensor:
        calls.append(1)
        if len(calls) > stop:
            raise KeyboardInterrupt
        return rollout(*args)

    done = 0
    for stop in stops:
        calls.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(boed.fitting.estimator_training, "_rollout_loss", counted)
            trained(bank, tmp_path / "resumed")
        done = (done + stop) // 5 * 5
    calls.clear()
    stop = 24
    monkeypatch.setattr(boed.fitting.estimator_training, "_rollout_loss", counted)
    resumed = trained(bank, tmp_path / "resumed")
    assert len(calls) == 24 - done
    assert same_weights(straight, resumed) and not resumed.training


def test_the_seed_is_what_is_drawn_from(bank: Bank, tmp_path: Path) -> None:
    one, same, other = (trained(bank, tmp_path / str(n), 2, seed=seed) for n, seed in enumerate((0, 0, 1)))
    assert same_weights(one, same) and not same_weights(one, other)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"score": "entropy"}])
def test_a_state_of_another_task_is_refused(bank: Bank, tmp_path: Path, changed: dict[str, Any]) -> None:
    trained(bank, tmp_path / "state", 2)
    ((name, _),) = changed.items()
    with pytest.raises(CheckpointError, match=f"with {name} = "):
        trained(bank, tmp_path / "state", 2, task=TASK | changed)


def test_only_the_cross_entropy_needs_labels(bank: Bank, tmp_path: Path) -> None:
    other = Bank(bank.q, replace(bank.split, labels=1 - bank.labels), PLACES, GEOMETRY)
    found = [trained(b, tmp_path / f"{n}", 3, score="entropy") for n, b in enumerate((bank, other))]
    assert same_weights(*found)
    crossed = [trained(b, tmp_path / f"c{n}", 3) for n, b in enumerate((bank, other))]
    assert not same_weights(*crossed)


def test_it_learns_from_its_rows_alone(bank: Bank, tmp_path: Path) -> None:
    rows = torch.arange(0, IMAGES, 3)
    others = torch.ones(IMAGES, dtype=torch.bool).index_fill(0, rows, False)
    labels = torch.where(others, 1 - bank.labels, bank.labels)
    changed = Bank(bank.q, replace(bank.split, labels=labels), PLACES, GEOMETRY)
    found = [trained(b, tmp_path / f"{n}", 3, rows=rows) for n, b in enumerate((bank, changed))]
    assert same_weights(*found)
    whole = [trained(b, tmp_path / f"all {n}", 3) for n, b in enumerate((bank, changed))]
    assert not same_weights(*whole)


def test_a_bank_that_is_not_kept_trains_the_same_network(bank: Bank, tmp_path: Path) -> None:
    frugal = Bank(bank.q, bank.split, PLACES, GEOMETRY, memory_gb=0)
    assert bank.kept and not frugal.kept
    assert same_weights(*(trained(b, tmp_path / f"{n}", 3) for n, b in enumerate((bank, frugal))))


@pytest.mark.parametrize("exploration", [0.0, 0.25, 1.0])
def test_it_looks_where_its_own_map_is_lowest_but_for_exploration(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exploration: float
) -> None:
    """An arbitrary place is the lowest one once in nine, and then once in the eight that are left."""
    looked, at = list[tuple[Tensor, Tensor]](), Bank.statistics_at

    def spied(self: Bank, rows: Tensor, places: Tensor) -> Tensor:
        looked.append((rows, places))
        return at(self, rows, places)

    monkeypatch.setattr(Bank, "statistics_at", spied)
    monkeypatch.setattr(boed.fitting.estimator_training, "EXPLORATION", exploration)
    trained(bank, tmp_path / "state", 1, batch=2000, estimator=untrained().eval())
    (rows, first), (_, second) = looked
    untouched = untrained().eval()
    lowest = own_map(untouched, bank.split, rows, torch.zeros(len(rows), 0, dtype=torch.int64)).argmin(1)
    assert float((first == lowest).double().mean()) == pytest.approx(1 - exploration * 8 / 9, abs=0.04)
    found = own_map(untouched, bank.split, rows, first[:, None]).scatter(1, first[:, None], torch.inf)
    share = (second == found.argmin(1)).double().mean().item()
    assert share == pytest.approx(1 - exploration * 7 / 8, abs=0.04)


@pytest.mark.parametrize("exploration", [0.0, 0.25, 1.0])
def test_places_are_explored_once_and_all_alike(monkeypatch: pytest.MonkeyPatch, exploration: float) -> None:
    """Of nine places three were seen; the lowest of the others is that of the policy."""
    monkeypatch.setattr(boed.fitting.estimator_training, "EXPLORATION", exploration)
    torch.manual_seed(0)
    found = torch.arange(9.0).repeat(6000, 1)
    found[:, [0, 4, 8]] = torch.inf
    shares = boed.fitting.estimator_training._explored(found, 1, GEOMETRY).bincount(minlength=9) / 6000
    expected = torch.full((9,), exploration / 6)
    expected[1] += 1 - exploration
    expected[[0, 4, 8]] = 0
    assert torch.equal(shares > 0, expected > 0)
    assert torch.allclose(shares, expected, atol=0.02)


def test_a_map_of_so_many_glimpses_is_about_one_more(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, realised = list[int](), list[Any]()
    forward, logits = AmortisedEstimator.forward, ExactPosterior.logits

    def spied_forward(
        self: AmortisedEstimator, seen: Tensor, count: int, *more: Any, **options: Any
    ) -> Tensor:
        asked.append(count)
        return forward(self, seen, count, *more, **options)

    def spied_logits(self: ExactPosterior, total: Tensor, count: int | Tensor) -> Tensor:
        realised.append(count)
        return logits(self, total, count)

    monkeypatch.setattr(AmortisedEstimator, "forward", spied_forward)
    monkeypatch.setattr(ExactPosterior, "logits", spied_logits)
    trained(bank, tmp_path / "state", 1)
    assert asked == [0, 1] and realised == [1, 1, 2]  # also what is uncertain after the first


def test_information_is_no_mean_of_single_outcomes(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="found information"):
        trained(bank, tmp_path / "state", score="information")
    assert not list(tmp_path.iterdir())


def test_what_is_regressed_has_the_mean_of_the_score_and_no_noise_where_nothing_is_told() -> None:
    generator = torch.Generator().manual_seed(0)
    classes, images, places = 3, 4, 5
    before = torch.randn(images, classes, generator=generator)
    after = torch.randn(images, places, classes, generator=generator)
    after[:, 0] = before  # a glimpse that tells nothing
    shares = before.softmax(-1)  # of the labels, where q is calibrated
    for score in ("cross-entropy", "entropy"):
        by_label = [torch.full((images,), label) for label in range(classes)]
        targets = torch.stack([realised_scores(before, after, each, score) for each in by_label], -1)
        scores = torch.stack([candidate_scores(after, each, score) for each in by_label], -1)
        mean = torch.einsum("blk,bk->bl", targets, shares)
        torch.testing.assert_close(mean, torch.einsum("blk,bk->bl", scores, shares))
        torch.testing.assert_close(targets[:, 0], entropy(before)[:, None].expand(-1, classes))
