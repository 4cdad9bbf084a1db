"""Classes as frequent as each other: of samples, of fits and in judges."""

from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import both
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import boed
import boed.comparison.judge
import boed.fitting.estimator_training
import boed.posteriors.posterior
import data
from boed.calibration import measure_calibration
from boed.comparison.judge import train_judge
from boed.comparison.masks import Masks
from boed.comparison.settings import JudgeSettings
from boed.estimators.estimator import EstimatorTask
from boed.fitting.joint_fit import fit_jointly
from boed.posteriors.glimpse_max import GlimpseMaxPosterior
from boed.posteriors.posterior import negative_log_posterior
from boed.search.balance import balanced, distinct, shift, thinned
from data.dataset import DataSet, Split
from data.errors import DataError, SettingsError

CLASSES, TINY = 3, {"iterations": 12, "width": 8}
LABELS = st.lists(st.integers(0, CLASSES - 1), min_size=1, max_size=60).map(torch.tensor)


@given(LABELS, st.integers(1, 40))
def test_all_classes_that_there_are_become_as_frequent(labels: Tensor, each: int) -> None:
    there = labels.unique()
    for rows, count in ((balanced(labels, each), each), (balanced(labels), int(labels.bincount().max()))):
        assert labels[rows].bincount()[there].tolist() == [count] * len(there)
        assert (rows.diff() >= 0).all()
        for label in there:  # evenly spread: no image stands for more than one more than another
            often = rows.bincount(minlength=len(labels))[labels == label]
            assert often.max() - often.min() <= 1
    assert set(balanced(labels).tolist()) == set(range(len(labels)))


@given(LABELS)
def test_a_thinned_sample_has_no_image_twice(labels: Tensor) -> None:
    rows, counts = thinned(labels), labels.bincount()
    assert len(rows.unique()) == len(rows) == counts[counts > 0].min() * len(labels.unique())


@given(LABELS, st.integers(0, 1000))
def test_a_shift_makes_a_posterior_that_of_the_draws(labels: Tensor, seed: int) -> None:
    """By Bayes' rule: p(y | label) is the same for both."""
    likelihood = torch.rand(CLASSES, generator=torch.Generator().manual_seed(seed)) + 0.1
    rows = balanced(labels)
    posterior, among_draws = (
        likelihood * its.bincount(minlength=CLASSES) / len(its) for its in (labels, labels[rows])
    )
    found = (posterior.log() + shift(labels, rows, CLASSES)).softmax(0)
    assert torch.allclose(found, among_draws / among_draws.sum(), atol=1e-6)


def test_q_is_scored_among_other_shares() -> None:
    """One that knows nothing says the true shares, and is as surprised as by the draws' own."""
    shares, drawn, seen = torch.tensor([0.9, 0.1]), torch.tensor([0, 1, 1, 0]), torch.rand(4, 2, 1, 4, 4)
    q = GlimpseMaxPosterior((1, 4, 4), classes=2, glimpses=2, features=8)
    torch.nn.init.zeros_(q.head.linear.weight)
    with torch.no_grad():
        q.head.linear.bias.copy_(shares.log())
    centres, by = torch.zeros(4, 2, 2), (torch.tensor([0.5, 0.5]) / shares).log()
    assert negative_log_posterior(q, seen, centres, drawn, by).item() == pytest.approx(np.log(2))
    before = -(shares.log()[drawn]).mean().item()
    assert negative_log_posterior(q, seen, centres, drawn).item() == pytest.approx(before)


def rare(images: int = 400) -> DataSet:
    """One image in ten is bright."""
    labels = (torch.arange(images) % 10 == 0).long()
    pixels = torch.randint(90, (images, 8, 8), generator=torch.Generator().manual_seed(0))
    return DataSet.from_arrays(
        (pixels + 100 * labels[:, None, None]).byte(), labels, glimpse_size=4, glimpses=2
    )


@pytest.mark.parametrize(
    "parts", [{}, {"completion": "cvae", "score": "entropy"}, {"estimator": "amortised"}]
)
def test_a_fit_is_of_balanced_classes(parts: dict[str, str], tmp_path: Path) -> None:
    dataset, combination = rare(), boed.Combination(**parts)
    fitted = boed.fit(dataset, tmp_path, combination=combination, balanced=True, device="cpu", **TINY)
    assert len(set(fitted.bank.labels.bincount().tolist())) == 1
    first = measure_calibration(fitted, dataset["valid"])[0]
    assert first.entropy == pytest.approx(np.log(2)) and first.images == 2 * int(
        dataset["valid"].labels.sum()
    )
    again = boed.load(tmp_path, device="cpu")
    assert again.settings.balanced and again.digest() == fitted.digest()
    plain = boed.fit(dataset, combination=combination, device="cpu", **TINY)
    assert "balanced" not in plain.settings.to_json() and plain.digest() != fitted.digest()


@given(LABELS, st.integers(1, 40), st.integers(1, 3))
def test_what_is_held_out_are_distinct_images_of_a_share_of_originals(
    labels: Tensor, most: int, one_in: int
) -> None:
    """Copies and other versions of the rest are of none of them."""
    ids = torch.arange(len(labels))
    split = Split(torch.zeros(len(labels), 4, 4, 1), labels, ids, "", ids // 3 + 100 * labels)
    bank = split.take(balanced(labels))
    rows, classes = distinct(bank, most, one_in), len(labels.unique())
    assert len(bank.ids[rows].unique()) == len(rows) <= max(most, classes)
    assert len(set(bank.labels[rows].bincount()[labels.unique()].tolist())) == 1
    for label in labels.unique():
        of_class, held = (
            its.unique() for its in (bank.originals[bank.labels == label], bank.originals[rows])
        )
        assert torch.isin(of_class, held).sum() <= -(-len(of_class) // one_in)


def test_an_estimator_learns_from_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of copies that follow each other an even sample has one of every image, and leaves none."""
    learned = list[EstimatorTask]()
    monkeypatch.setattr(
        boed.fitting.estimator_training, "fit_estimator", lambda network, task: learned.append(task)
    )
    boed.fit(rare(), combination=boed.Combination(estimator="amortised"), balanced=True, device="cpu", **TINY)
    counts = learned[0].bank().labels[learned[0].rows].bincount()
    assert len(counts) == 2 and counts.min() > counts.max() / 3


@pytest.mark.parametrize("missing", ["train", "valid"])
def test_without_an_image_of_a_class_nothing_is_balanced(missing: str) -> None:
    """A class without an image in the bank would be impossible; without one in valid no level is set."""
    dataset = rare()
    split = dataset[missing]
    dataset._splits[missing] = split.take((split.labels == 0).nonzero().view(-1))
    if missing == "train":
        with pytest.raises(DataError, match="expected images of all 2 classes .*, found none of 1 in the"):
            boed.fit(dataset, balanced=True, device="cpu", **TINY)
        return
    fitted = boed.fit(dataset, balanced=True, device="cpu", **TINY)
    assert not fitted.levels.split
    with pytest.raises(DataError, match="found none of 1 in the images to predict for"):
        measure_calibration(fitted, dataset["valid"])


def test_what_has_no_rare_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected one attribute for balanced classes, found 2"):
        fit_jointly(both(), tmp_path, lambda name: tmp_path / name, balanced=True)
    with pytest.raises(SettingsError, match="expected a posterior that is learned .*, found exact"):
        boed.fit(
            data.load("finite"), tmp_path, combination=boed.Combination.of(posterior="exact"), balanced=True
        )


def test_a_judge_sees_a_rare_class_as_often_and_knows_how_rare_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of what it is scored at is rare, and it is told by how much that is too often."""
    dataset, seen = rare(), list[float]()
    split = dataset["design"]
    places = torch.tensor([0, 0, 4]).expand(1, len(split), 2, 3)
    masks = Masks(places, split, torch.arange(len(split)), dataset.geometry)
    score = boed.posteriors.posterior.negative_log_posterior

    def noted(q: object, glimpses: Tensor, centres: Tensor, labels: Tensor, by: Tensor | None) -> Tensor:
        seen.append(labels.float().mean().item())
        assert by is not None and by.diff().item() == pytest.approx(np.log(9), abs=0.2)
        return score(q, glimpses, centres, labels, by)

    monkeypatch.setattr(boed.comparison.judge, "negative_log_posterior", noted)
    train_judge(dataset, masks, JudgeSettings(iterations=20, width=8, balanced=True), seed=0)
    assert sum(seen) / len(seen) == pytest.approx(0.5, abs=0.05)
