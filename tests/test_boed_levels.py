"""The level of what is predicted, set on images of another split: closed forms, and what stays as it was."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from boed_tiny import pointer_dataset, pointer_split
from torch import Tensor

from boed.approximations import Approximations
from boed.calibration import measure_calibration
from boed.estimators.calibration import Levels
from boed.fitting.fit import fit, load
from boed.search.designer import Designer
from boed.search.levels import FEWEST, crossed, set_levels, shrunk_shifts
from boed.search.prediction import Step, embedded, steps_of
from data.dataset import DataSet, Split
from data.errors import NoImagesError

IMAGES = 200


@pytest.fixture(scope="module")
def others() -> Split:
    return pointer_split(IMAGES, seed=77)


@pytest.fixture
def learned(pointer_fit: Approximations) -> Approximations:
    """As if nothing had set the level, and the bank had been half a nat too hard."""
    reads = [read._replace(offset=read.offset + 0.5) for read in pointer_fit.calibrations]
    return replace(pointer_fit, calibrations=tuple(reads), levels=Levels())


def alternating(mean: float, spread: float, count: int = IMAGES) -> Tensor:
    """Values with this mean whose standard error is spread / sqrt(count - 1)."""
    return mean + spread * torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(count // 2)


def test_means_are_shrunk_by_the_share_of_noise_in_all_of_them() -> None:
    spread = (IMAGES - 1) ** 0.5 / 10  # a standard error of .1
    means = [0.5, 0.3, 0.0]
    signal = sum(mean**2 for mean in means) / 3 - 0.01
    expected = [mean * signal / (signal + 0.01) for mean in means]
    assert shrunk_shifts([alternating(mean, spread) for mean in means]) == pytest.approx(expected)
    assert shrunk_shifts([alternating(0.05, spread)] * 2) == [0.0, 0.0]  # less than its error
    assert shrunk_shifts([alternating(2.0, 0.0, FEWEST)]) == [2.0]
    assert shrunk_shifts([alternating(2.0, 0.0, FEWEST - 2)]) == [0.0]  # too few to tell


def test_what_is_predicted_gets_the_level_of_unseen_images(learned: Approximations, others: Split) -> None:
    before = measure_calibration(learned, others)
    places = [step.chosen for step in steps_of(Designer(learned), embedded(learned, others), 0)]
    set_levels(learned, embedded(learned, others), "those")
    after = measure_calibration(learned, others)
    for old, new in zip(before, after, strict=True):
        assert abs(new.predicted - new.realised) < 0.3 * abs(old.predicted - old.realised)
        assert new.realised == old.realised
    again = steps_of(Designer(learned), embedded(learned, others), 0)
    assert all(torch.equal(step.chosen, at) for step, at in zip(again, places, strict=True))
    moved = [new.predicted - old.predicted for old, new in zip(before, after, strict=True)]
    assert learned.levels.split == "those"
    assert moved[0] == pytest.approx(learned.levels.shifts[0], abs=1e-6) and moved[0] < -0.3


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_too_few_images_to_tell_move_nothing(learned: Approximations, count: int) -> None:
    """Nor does a mean that rises from step to step, which of a single image is no news."""
    rising = [read._replace(offset=read.offset + 0.03 * t) for t, read in enumerate(learned.calibrations)]
    learned.calibrations = tuple(read._replace(entropy=0.0, contrast=1e-3) for read in rising)
    before = learned.calibrations
    set_levels(learned, embedded(learned, pointer_split(count, seed=5)), "those")
    assert learned.calibrations == before and learned.levels == Levels()


def test_each_half_has_the_level_that_the_other_gives() -> None:
    """Half the images have .4 nats more than predicted, the others .2 less: each is wrong about the other."""
    truth = torch.zeros(IMAGES, 3, dtype=torch.float64) + 1
    truth[::2] += 0.4
    truth[1::2] -= 0.2
    predicted = torch.ones(IMAGES, 3, dtype=torch.float64)
    predicted[:, 2] = torch.inf
    step = Step(torch.ones(IMAGES), predicted, truth, torch.zeros(IMAGES, dtype=torch.int64))
    (found,) = crossed([step])
    assert found.at_chosen(found.predicted)[::2].tolist() == pytest.approx([0.8] * (IMAGES // 2))
    assert found.at_chosen(found.predicted)[1::2].tolist() == pytest.approx([1.4] * (IMAGES // 2))
    assert torch.equal(found.predicted.isinf(), predicted.isinf()) and found.realised is truth


def test_the_images_that_set_the_level_are_not_asked_whether_it_is_right(
    learned: Approximations, others: Split
) -> None:
    """Half of the labels are made wrong: as news they would look right, crossed they do not."""
    labels = others.labels.clone()
    labels[::2] = (labels[::2] + 1) % 4
    misled = replace(others, labels=labels)
    set_levels(learned, embedded(learned, misled), misled.fingerprint)
    known = measure_calibration(learned, misled)
    learned.levels = learned.levels._replace(split="of others")
    news = measure_calibration(learned, misled)
    assert all(row.predicted == pytest.approx(row.realised, rel=0.02) for row in news)
    assert all(row.error > 1.2 * other.error for row, other in zip(known, news, strict=True))


def with_valid(dataset: DataSet, valid: Callable[[], Split]) -> DataSet:
    """The same with another valid split."""
    openers = {split: partial(dataset.__getitem__, split) for split in dataset} | {"valid": valid}
    return DataSet(dataset.name, dataset.target, dataset.classes, dataset.geometry, dataset.glimpses, openers)


def missing() -> Split:
    raise NoImagesError("expected images, found none")


def test_a_fit_sets_its_level_on_the_valid_split_and_keeps_that(tmp_path: Path) -> None:
    dataset = pointer_dataset(train=150)
    known = with_valid(dataset, partial(pointer_split, 60, seed=5))
    fitted = fit(known, tmp_path / "a", iterations=12, width=8)
    assert fitted.levels.split == known["valid"].fingerprint and len(fitted.levels.shifts) == 3
    again = load(tmp_path / "a", known)
    assert again.levels == fitted.levels and again.calibrations == fitted.calibrations
    alone = fit(with_valid(dataset, missing), tmp_path / "b", iterations=12, width=8)
    assert alone.levels == Levels() and alone.weights == fitted.weights
    assert [read[1:] for read in alone.calibrations] == [read[1:] for read in fitted.calibrations]


def test_the_table_that_ends_a_fit_designs_for_no_image_again(
    learned: Approximations, others: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_levels(learned, embedded(learned, others), others.fingerprint)
    rows = measure_calibration(learned, others)
    fewer = measure_calibration(learned, others, images=80)
    monkeypatch.setattr("boed.search.levels.steps_of", None)
    assert measure_calibration(learned, others) == rows
    assert measure_calibration(learned, others, images=80) == fewer != rows
    learned.forget()
    with pytest.raises(TypeError):
        measure_calibration(learned, others)


def test_levels_that_are_set_again_are_not_added(learned: Approximations, others: Split) -> None:
    """As when another combination of parts is fitted with the same q: its readings are new ones."""
    raw = learned.calibrations
    set_levels(learned, embedded(learned, others), "those")
    first, learned.calibrations = learned.calibrations, raw
    learned.forget()
    set_levels(learned, embedded(learned, others), "those")
    assert learned.calibrations == first
