"""What the tests of the AVP-CNN share: a network without training, and what it sees of made-up images."""

from __future__ import annotations

from typing import Any

import pyro
import torch
from torch import Tensor

from boed.posteriors.avp_cnn import AvpCnnPosterior
from data.geometry import Geometry
from data.places import places_at

COLOUR = Geometry(24, 24, 3, glimpse_size=8)
INSIDE = [[0, 0], [3, 9], [16, 16]]  # do not overlap in COLOUR
OUTSIDE = [[-3, 5], [20, 20], [10, -8], [40, 0]]


def posterior(geometry: Geometry = COLOUR, resolution: int = 24, **options: Any) -> AvpCnnPosterior:
    torch.manual_seed(0)
    q = AvpCnnPosterior(geometry, 4, 5, resolution=resolution, width=8, **options)
    return q.eval()


def look(geometry: Geometry, locations: list[list[int]], count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, C, H, W) in [0, 1], their glimpses and the centres of these."""
    generator = torch.Generator().manual_seed(1)
    shape = (count, geometry.height, geometry.width, geometry.channels)
    images = torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)
    places = places_at(torch.tensor(locations), geometry.glimpse_size).expand(count, -1, -1)
    glimpses = geometry.retina()(images, torch.arange(count), places)
    return images.permute(0, 3, 1, 2).float() / 255, glimpses, geometry.centres(places)


def seen(geometry: Geometry, locations: list[list[int]]) -> Tensor:
    """(1, H, W) ones where the finest patch of any glimpse lies."""
    rows, cols = torch.arange(geometry.height)[:, None], torch.arange(geometry.width)
    mask = torch.zeros(geometry.height, geometry.width)
    for row, col in locations:
        high = (rows >= row) & (rows < row + geometry.glimpse_size)
        mask[high & (cols >= col) & (cols < col + geometry.glimpse_size)] = 1
    return mask[None]


def sites(q: AvpCnnPosterior, y: Tensor, centres: Tensor, labels: Tensor | None = None) -> Any:
    guide = q if labels is None else pyro.poutine.condition(q, {"label": labels})
    trace = pyro.poutine.trace(guide).get_trace(y, centres)
    trace.compute_log_prob()
    return trace
