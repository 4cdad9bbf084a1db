"""What is known of an image on a canvas of cells, against loops over pixels."""

import numpy as np
import pytest
import torch
from boed_tiny import SMALL, look, random_images
from torch import Tensor

from boed.completions.canvas_state import enlarged, observed_cells, paste, random_seen, to_cells, within_cells
from data.geometry import Geometry
from data.places import places_at


def canvas_by_loops(glimpses: Tensor, locations: Tensor, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, C) of one image and where they are known, scale by scale, finer ones overwriting."""
    size, channels = geometry.glimpse_size, geometry.channels
    shape = (geometry.height, geometry.width)
    canvas, known = np.zeros((*shape, channels)), np.zeros(shape, bool)
    for scale in reversed(range(geometry.scales)):
        side, margin = 2**scale, (2**scale - 1) * size // 2
        total, number = np.zeros_like(canvas), np.zeros(shape)
        for glimpse, (row, col, _) in zip(glimpses.numpy(), locations.tolist(), strict=True):
            patch = glimpse[scale * channels : (scale + 1) * channels]
            for i, j in np.ndindex(size, size):
                top, left = row - margin + i * side, col - margin + j * side
                rows = [r for r in range(top, top + side) if 0 <= r < shape[0]]
                cols = [c for c in range(left, left + side) if 0 <= c < shape[1]]
                if rows and cols:  # what lay outside was averaged in as zeros
                    value = patch[:, i, j] * side**2 / (len(rows) * len(cols))
                    total[np.ix_(rows, cols)] += value
                    number[np.ix_(rows, cols)] += 1
        here = number > 0
        canvas[here] = total[here] / number[here][:, None]
        known |= here
    return canvas, known


@pytest.mark.parametrize(("scales", "cells"), [(1, 4), (1, 9), (2, 5), (3, 4), (3, 9)])
def test_observed_cells_are_means_of_pasted_pixels(scales: int, cells: int) -> None:
    geometry = Geometry(11, 9, 2, glimpse_size=3, scales=scales)
    split = random_images(3, geometry)
    places = [[[0, 0], [1, 2], [7, 6]], [[-1, 7], [9, -2], [40, 3]], [[4, 4], [4, 4], [5, 3]]]
    locations = places_at(torch.tensor(places), 3)
    glimpses = geometry.retina()(split.images, torch.arange(3), locations).double()
    seen = observed_cells(glimpses, locations, geometry, cells)
    for n in range(3):
        canvas, known = canvas_by_loops(glimpses[n], locations[n], geometry)
        fine = (known[..., None] * canvas).repeat(cells, 0).repeat(cells, 1)  # cells divide this evenly
        fine = fine.reshape(cells, 11, cells, 9, 2).sum((1, 3))
        number = known.repeat(cells, 0).repeat(cells, 1).reshape(cells, 11, cells, 9).sum((1, 3))
        assert seen.coverage[n, 0].numpy() == pytest.approx(number / 99)
        expected = np.where(number[..., None] > 0, fine / number.clip(1)[..., None], 0)
        assert seen.values[n].permute(1, 2, 0).numpy() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("cells", [3, 8])
def test_an_image_seen_whole_is_the_image_in_cells(cells: int) -> None:
    geometry = Geometry(8, 8, 3, glimpse_size=8)
    split = random_images(70, geometry)
    glimpses, places = look(split, torch.tensor([[0, 0]]), geometry)
    seen = observed_cells(glimpses, places, geometry, cells)
    assert torch.allclose(seen.values, to_cells(split.images, torch.arange(70), cells), atol=1e-6)
    assert torch.allclose(seen.coverage, torch.ones(70, 1, cells, cells))


def test_variance_within_cells() -> None:
    images = random_images(70).images
    blocks = images.double().reshape(70, 4, 2, 4, 2) / 255
    expected = blocks.var((2, 4), unbiased=False).mean(0)
    assert torch.allclose(within_cells(images, torch.arange(70), 4)[0].double(), expected, atol=1e-6)
    assert torch.allclose(within_cells(images, torch.arange(70), 8), torch.zeros(1, 8, 8), atol=1e-6)


def test_enlarging_keeps_pixels_and_goes_between_cells() -> None:
    images = random_images(5).images
    assert torch.equal(enlarged(to_cells(images, torch.arange(5), 8), SMALL), images)
    ramp = enlarged(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]), Geometry(4, 4, 1, glimpse_size=2))
    assert ramp[0, 0, :, 0].tolist() == pytest.approx([0, 64, 191, 255], abs=1)
    assert enlarged(torch.tensor([[[[-3.0, 3.0]]]]), SMALL).unique().tolist()[-1] == 255


def test_nothing_is_pasted_without_glimpses() -> None:
    images = random_images(2).images[:, None].clone()
    before = images.clone()
    paste(images, torch.zeros(2, 0, 1, 3, 3), torch.zeros(2, 0, 3).long())
    assert torch.equal(images, before)


def test_training_sees_any_number_of_glimpses() -> None:
    """At 8 x 8 places that are far apart, so that the number of glimpses is the area seen over their area."""
    geometry = Geometry(36, 36, 1, glimpse_size=4)
    split = random_images(2000, geometry)
    places = geometry.grid().locations[[0, 6, 12, 78, 84, 90]]
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(2000)
    seen = random_seen(split, index, geometry, 36, places, 1, generator)
    number = (seen.coverage.sum((1, 2, 3)) / 16).round()
    assert torch.bincount(number.long(), minlength=2).tolist() == pytest.approx([1000, 1000], abs=100)
    whole = to_cells(split.images, index, 36)
    assert torch.allclose(seen.values, whole * seen.coverage, atol=1e-6)
    many = random_seen(split, index, geometry, 36, places, 3, generator)
    covered = many.coverage.sum((1, 2, 3))
    assert (covered == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert covered.max() <= 48.001 and (covered > 40).any()
    assert (many.coverage.mean(0)[0] > 0).sum() > 6 * 16  # places are shifted
