"""The picture of information above glimpses: its maps are means and shares that can be counted."""

from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import FINE, GEOMETRY, PLACES, POINTER, pointer_dataset
from matplotlib.figure import Figure

import boed.pictures.information
from boed.approximations import Approximations
from boed.designs import Designs, design
from boed.pictures.information import InformationMaps, draw_information, information_maps, mean_gains
from boed.pictures.of_store import some_of
from boed.search.proposal import ridge_information
from data.mean_image import mean_image
from data.sequences import Sequences

DATASET = pointer_dataset()


@pytest.fixture(scope="module")
def designs(pointer_fit: Approximations) -> Designs:
    return design(pointer_fit, DATASET["design"])


@pytest.fixture(scope="module")
def maps(designs: Designs) -> InformationMaps:
    return information_maps(designs.sequences, designs.candidates, DATASET["train"], GEOMETRY, 4)


def test_alone_only_the_telling_places_inform(maps: InformationMaps) -> None:
    """The middle cell tells half of the label; the first and the last a little of it each."""
    exact = ridge_information(DATASET["train"], PLACES, GEOMETRY.retina(), 4, pooled=4)
    torch.testing.assert_close(maps.alone, exact)
    assert int(maps.alone.argmax()) == POINTER
    assert set(maps.alone.topk(3).indices.tolist()) == {POINTER, *FINE}


def test_gains_are_means_over_the_images_that_had_not_looked_there(
    designs: Designs, maps: InformationMaps
) -> None:
    gains, maps_of = designs.entropy[:, :-1, None] - designs.epe_map, designs.epe_map
    for step in range(3):
        for place in range(len(designs.candidates)):
            own = gains[:, step, place][maps_of[:, step, place].isfinite()]
            expected = float(own.double().mean()) if len(own) else float("nan")
            assert float(maps.gains[step, place]) == pytest.approx(expected, nan_ok=True)
    assert bool(maps_of.isinf().any())


def test_without_maps_there_is_no_gain() -> None:
    assert mean_gains(Sequences.unscored(torch.zeros(5, 3, 3, dtype=torch.int64))).shape == (3, 0)


def test_shares_are_those_of_the_places(designs: Designs, maps: InformationMaps) -> None:
    for step, share in enumerate(maps.by_step):
        for cell, (row, col, side) in enumerate(PLACES.tolist()):  # cells do not overlap
            taken = (designs.places[:, step] == PLACES[cell]).all(1).double().mean()
            assert torch.equal(share[row : row + side, col : col + side], taken.expand(side, side))
    assert float(maps.by_step.sum()) == pytest.approx(3 * 16)
    torch.testing.assert_close(maps.any_step, maps.by_step.sum(0))  # no image looks twice at a cell


def test_a_few_hundred_images_stand_for_a_store(
    designs: Designs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = designs.save(tmp_path / "a.h5")
    assert len(some_of(store).locations) == len(designs)
    monkeypatch.setattr("boed.pictures.of_store.AVERAGED", 9)
    assert len(some_of(store).locations) == 9


def test_both_rows_have_the_same_axes_and_what_was_computed(
    maps: InformationMaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    monkeypatch.setattr(boed.pictures.information, "figure_of", lambda *size: figure)
    draw_information(tmp_path / "a.png", maps, mean_image(DATASET["design"]), GEOMETRY)
    above, below = figure.axes[:4], figure.axes[4:8]
    for axes in figure.axes[:8]:
        assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 11.5), (11.5, -0.5))
    for axes, values in zip(above, (maps.alone, *maps.gains), strict=True):
        [dots] = axes.collections
        drawn = np.asarray(dots.get_array())
        assert np.sort(drawn) == pytest.approx(np.sort(values[values.isfinite()].numpy()), abs=1e-6)
        col, row = np.asarray(dots.get_offsets())[drawn.argmax()]
        best = PLACES[int(values.nan_to_num(-9).argmax())] if values is maps.alone else None
        assert best is None or [row, col] == [float(each) + 1.5 for each in best[:2]]
    for axes, shares in zip(below, (maps.any_step, *maps.by_step), strict=True):
        assert np.allclose(np.asarray(axes.images[0].get_array()), 100 * shares)
