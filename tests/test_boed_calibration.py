"""What a map means in nats, in closed forms; the table and the picture of what is predicted and realised."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from boed_tiny import pointer_dataset
from torch import Tensor

from boed.approximations import Approximations
from boed.calibration import BINS, CalibrationRow, measure_calibration
from boed.calibration_pictures import draw_calibration
from boed.calibration_table import attributes_table, calibration_table
from boed.estimators.calibration import LEAST_CONTRAST, Calibration, calibration_of, contrasts, falling
from boed.search.designer import Designer, design_sequences
from data.dataset import Split
from data.errors import SettingsError

IMAGES, PLACES = 400, 12


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def unseen() -> Split:
    return pointer_dataset()["valid"]


@pytest.mark.parametrize("truth", [Calibration(0.3, 0.0, 0.7), Calibration(-0.2, 0.5, 1.4), Calibration()])
def test_a_line_is_found_again(truth: Calibration) -> None:
    entropy, maps = noise(IMAGES, seed=0).abs() + 1, noise(IMAGES, PLACES, seed=1).abs() + 2
    found = calibration_of(maps, truth(maps, entropy), entropy)
    assert found == pytest.approx(truth, abs=1e-9)


def test_prediction_and_realisation_agree_where_a_noisy_map_chooses() -> None:
    """The smallest of twelve noisy values is too small, by more than a nat; its reading is not."""
    truth, entropy = noise(IMAGES, PLACES, seed=0) + 9, torch.ones(IMAGES, dtype=torch.float64)
    maps = truth + noise(IMAGES, PLACES, seed=1)
    read = calibration_of(maps, truth, entropy)
    at = maps.argmin(1, keepdim=True)
    realised = truth.gather(1, at).mean()
    assert maps.gather(1, at).mean() < realised - 1
    assert float(read(maps, entropy).gather(1, at).mean()) == pytest.approx(float(realised))
    assert 0.4 < read.contrast < 0.6  # half of the variance is noise


def test_the_order_of_the_places_stays_and_no_value_is_negative() -> None:
    maps = noise(IMAGES, PLACES, seed=0).masked_fill(noise(IMAGES, PLACES, seed=3) > 1, torch.inf)
    read = calibration_of(maps, -maps.masked_fill(maps.isinf(), 0), torch.zeros(IMAGES))  # it misleads
    assert read.contrast == LEAST_CONTRAST and read.entropy == 0
    found = read._replace(offset=5.0)(maps, torch.zeros(IMAGES))
    assert torch.equal(found.argmin(1), maps.argmin(1)) and torch.equal(found.isinf(), maps.isinf())
    assert float(read._replace(offset=-5.0)(maps, torch.zeros(IMAGES)).amin()) == 0


def test_what_is_expected_does_not_rise_by_chance() -> None:
    """Steps that do fall stay as they are; those that rise a little share their mean."""
    levels = [2.0, 1.0, 1.08, 0.5, 0.56, 0.53]
    found = falling([Calibration(0.5, 0.1, 0.2)] * 6, levels)
    means = [level + read.offset - 0.5 for level, read in zip(levels, found, strict=True)]
    assert means == pytest.approx([2.0, 1.04, 1.04, 0.53, 0.53, 0.53])
    assert all(read[1:] == (0.1, 0.2) for read in found)
    assert falling([Calibration()] * 2, [0.7, 3.0]) == [Calibration()] * 2  # no chance


def test_contrasts_are_less_the_mean_of_the_open_places() -> None:
    maps = torch.tensor([[1.0, 3.0, torch.inf], [2.0, 2.0, 5.0]])
    assert contrasts(maps, maps.isfinite()).tolist() == [[-1, 1, 0], [-1, -1, 2]]


@torch.no_grad()
def test_rows_are_the_means_of_a_design(pointer_fit: Approximations, unseen: Split) -> None:
    reads = (Calibration(), Calibration(0.1, 0.5, 0.3), Calibration(0.2, 0.1, 0.9))
    learned = replace(pointer_fit, weights=(0.0, 1.0, 1.0), calibrations=reads)
    rows = measure_calibration(learned, unseen)
    every = torch.arange(len(unseen))
    designer = Designer(learned)
    designs = design_sequences(designer, unseen, every, 3, designer.weights, designer.calibrations, seed=0)
    assert [row.step for row in rows] == [1, 2, 3]
    assert [row.predicted for row in rows] == pytest.approx(designs.epe.mean(0).tolist())
    assert [row.entropy for row in rows] == pytest.approx(designs.entropy[:, :3].mean(0).tolist())
    glimpses = learned.geometry.retina()(unseen.images, every, designs.locations)
    totals = learned.q.embed(glimpses, learned.geometry.centres(designs.locations)).cumsum(1)
    logits = learned.q.logits(totals, torch.arange(1, 4)).log_softmax(2)
    losses = -logits.gather(2, unseen.labels[:, None, None].expand(-1, 3, 1))[..., 0]
    assert [row.realised for row in rows] == pytest.approx(losses.mean(0).tolist(), abs=1e-5)
    assert [row.nll for row in rows[1:]] == [row.realised for row in rows[:2]]
    error = (designs.epe - losses).std(0) / len(unseen) ** 0.5
    assert [row.error for row in rows] == pytest.approx(error.tolist(), abs=1e-5)


def test_a_fair_sample_stands_for_the_split(pointer_fit: Approximations, unseen: Split) -> None:
    few, again = (measure_calibration(pointer_fit, unseen, images=5) for _ in (0, 1))
    assert few == again != measure_calibration(pointer_fit, unseen)


@pytest.mark.parametrize(
    ("predicted", "realised", "agrees"), [(0.1, 0.14, True), (0.1, 0.16, False), (2.0, 2.09, True)]
)
def test_within_a_twentieth_of_a_nat_or_of_the_value_they_agree(
    predicted: float, realised: float, agrees: bool
) -> None:
    row = CalibrationRow(1, 9, 1.0, 1.0, predicted, realised, 0.0, 1.0, 1.0, ())
    assert row.agrees is agrees and row.to_json()["agrees"] is agrees


def test_bins_are_tenths_of_all_pairs_of_image_and_open_place(
    pointer_fit: Approximations, unseen: Split
) -> None:
    for row in measure_calibration(pointer_fit, unseen):
        predicted = [one for one, _ in row.bins]
        assert len(row.bins) == BINS and predicted == sorted(predicted) and row.images == len(unseen)
    first, *_ = measure_calibration(pointer_fit, unseen, images=1)  # nine pairs, one map
    designs = design_sequences(Designer(pointer_fit), unseen, torch.arange(1), 1, pointer_fit.weights, seed=0)
    assert [one for one, _ in first.bins] == pytest.approx(designs.epe_map[0, 0].sort().values.tolist())
    assert first.error == 0


def test_tables_and_pictures_have_every_row(
    pointer_fit: Approximations, unseen: Split, tmp_path: Path
) -> None:
    rows = measure_calibration(pointer_fit, unseen)
    head, _, *lines, last = calibration_table(rows, "test").splitlines()
    assert "20 images of test" in head and last.endswith(f"at {sum(row.agrees for row in rows)} of 3 t")
    for row, line in zip(rows, lines, strict=True):
        numbers = [row.entropy, row.nll, row.predicted, row.realised]
        assert line.split()[:5] == [str(row.step), *(f"{number:.3f}" for number in numbers)]
        assert f"({row.error:.3f})" in line
    several = attributes_table({"coarse": rows, "fine": rows[:]}).splitlines()
    assert [line.split()[0] for line in several[2:]] == ["coarse", "fine"]
    assert f"{rows[2].predicted:.3f} / {rows[2].realised:.3f}" in several[3]
    draw_calibration(tmp_path / "new" / "c.png", rows)
    assert (tmp_path / "new" / "c.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_split_of_the_images_that_were_fitted_is_refused(
    pointer_fit: Approximations, unseen: Split
) -> None:
    with pytest.raises(SettingsError, match="expected a split, for example"):
        measure_calibration(pointer_fit, pointer_dataset())
    with pytest.raises(SettingsError, match=r"as fitted, found \(11, 12, 1\)"):
        measure_calibration(pointer_fit, replace(unseen, images=unseen.images[:, 1:]))
