import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import SettingsError
from data.geometry import Geometry
from data.grid import LocationGrid
from data.places import denormalise, normalise, places_at

SIDES = st.tuples(st.integers(1, 60), st.integers(1, 60))


def locations_of(seed: int, count: int = 20) -> torch.Tensor:
    return torch.randint(-50, 300, (count, 2), generator=torch.Generator().manual_seed(seed))


@given(SIDES, st.integers(2, 40), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_denormalise_inverts_normalise_for_any_shape_of_image(
    image_size: tuple[int, int], glimpse_size: int, seed: int
) -> None:
    sizes = Geometry(*image_size, 1, glimpse_size=glimpse_size)
    places = places_at(locations_of(seed), glimpse_size)
    assert torch.equal(denormalise(normalise(places, sizes), sizes), places)


def test_normalised_form_is_the_centre_with_rows_and_columns_kept_apart() -> None:
    sizes = Geometry(100, 20, 1, glimpse_size=4)
    centre = normalise(torch.tensor([[40, 10, 20]]), sizes)  # the middle row, the right edge
    assert torch.allclose(centre, torch.tensor([[0.0, 1.0]]))


@given(SIDES, st.data())
@settings(max_examples=50, deadline=None)
def test_index_inverts_locations_and_all_glimpses_lie_inside(
    image_size: tuple[int, int], data: st.DataObject
) -> None:
    glimpse_size = data.draw(st.integers(1, min(image_size)))
    grid = LocationGrid.evenly(image_size, glimpse_size, data.draw(st.integers(1, 20)))
    assert torch.equal(grid.index(grid.locations), torch.arange(len(grid)))
    assert grid.locations.min() == 0 and bool((grid.locations[:, 2] == glimpse_size).all())
    assert bool((grid.locations[:, :2] + glimpse_size <= torch.tensor(image_size)).all())
    assert bool((grid.normalised().abs() <= 1).all())


def test_more_than_one_position_per_axis_reaches_the_far_border() -> None:
    grid = LocationGrid.evenly((30, 50), 8, 5)
    assert grid.locations[-1].tolist() == [22, 42, 8]


def test_published_celebahq_grid() -> None:
    geometry = Geometry(224, 224, 3, glimpse_size=16, per_axis=50, last_excluded=True)
    expected = tuple(int(v) for v in np.linspace(0, 207, 50))
    assert geometry.grid().parts[0].rows == expected
    assert geometry.grid().parts[0].cols == expected


@pytest.mark.parametrize("stray", [[1, 0, 12], [0, 1, 12], [-4, 0, 12], [0, 99, 12], [0, 0, 24]])
def test_location_off_the_grid_is_refused(stray: list[int]) -> None:
    grid = LocationGrid.evenly((60, 60), 12, 13)
    with pytest.raises(SettingsError, match="expected places of side 12 on the 13 x 13 grid"):
        grid.index(torch.tensor([[0, 0, 12], stray]))


@pytest.mark.parametrize("glimpse_size", [0, 21])
def test_glimpse_must_fit_the_smaller_side(glimpse_size: int) -> None:
    with pytest.raises(SettingsError, match=f"1 to 20 pixels .* found {glimpse_size}"):
        LocationGrid.evenly((40, 20), glimpse_size, 3)


@pytest.mark.parametrize("rows", [(), (0, 0), (4, 2)])
def test_grid_positions_must_increase(rows: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="strictly increasing"):
        LocationGrid(rows, (0,), 4, (20, 20))


def test_geometry_refuses_no_scale_and_tells_the_glimpse_shape() -> None:
    assert Geometry(20, 20, 3, glimpse_size=4, scales=2).glimpse_shape() == (6, 4, 4)
    with pytest.raises(SettingsError, match="at least 1 scale"):
        Geometry(20, 20, 3, glimpse_size=4, scales=0)


def test_geometry_survives_json() -> None:
    geometry = Geometry(20, 30, 3, glimpse_size=4, scales=2, per_axis=5, last_excluded=True)
    assert Geometry(**geometry.to_json()) == geometry
