"""What glimpses cost to read, by the sensor that there is.

A sensor that bins pixels itself delivers G x G values a glimpse, however wide; where it is software that
averages, all pixels of the square have to be read. Beside both stands how much of an image was seen at all,
in which a pixel inside several glimpses counts once.

Shapes: N images, T glimpses, G the side of a glimpse, S scales of a retina. Counts are per colour channel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from data.geometry import Geometry
from data.measures import pixels_by_image, read_values

READ = ("pixels", "values_read", "pixels_read", "additions")
"""Names of the counts, as figures have them."""


def read_by_image(locations: Tensor, geometry: Geometry) -> dict[str, Tensor]:
    """(N, T) each of `READ`, of the first t glimpses at places (N, T, 3).

    pixels: inside any of them, see `data.measures.pixels_by_image`. values_read: G x G x S for each.
    pixels_read: of each the pixels of its square inside the image, of a retina those of its widest.
    additions: of software that averages them down, one for every pixel of each square that is wider than the
    glimpse, at every scale.

    >>> one = Geometry(16, 16, 1, glimpse_size=4, sides=(4, 8, 16))
    >>> counts = read_by_image(torch.tensor([[[0, 0, 8], [2, 2, 4], [0, 0, 16]]]), one)
    >>> {name: count.tolist() for name, count in counts.items()}
    {'pixels': [[64, 64, 256]], 'values_read': [[16, 32, 48]], 'pixels_read': [[64, 80, 336]], \
'additions': [[64, 64, 320]]}
    """
    count, steps = locations.shape[:2]
    values = torch.tensor(read_values(steps, geometry)).expand(count, -1)
    averaged = pixels_averaged(locations, geometry).cumsum(1)
    added = additions(locations, geometry).cumsum(1)
    return dict(zip(READ, (pixels_by_image(locations, geometry), values, averaged, added), strict=True))


def additions(locations: Tensor, geometry: Geometry) -> Tensor:
    """(...) additions that averaging each glimpse at places (..., 3) down takes in software.

    The mean of n pixels counts as n; what is as fine as the image costs none.
    """
    wide = [
        pixels_averaged(locations, geometry, scale) * (locations[..., 2] * 2**scale > geometry.glimpse_size)
        for scale in range(geometry.scales)
    ]
    return torch.stack(wide).sum(0)


def pixels_averaged(locations: Tensor, geometry: Geometry, scale: int | None = None) -> Tensor:
    """(...) pixels that software reads for each glimpse at places (..., 3), beyond the border none.

    Args:
        scale: of a retina, from 0 on; None: its widest, which holds the others.
    """
    side = locations[..., 2:]
    width = side * 2 ** (geometry.scales - 1 if scale is None else scale)
    first = locations[..., :2] - (width - side) // 2
    last = torch.minimum(first + width, torch.tensor(geometry.image_size))
    return (last - first.clamp(min=0)).clamp(min=0).prod(-1)
