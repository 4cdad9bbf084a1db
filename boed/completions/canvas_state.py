"""What is known of an image, on a coarse canvas of cells; completions that are drawn on such a canvas."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.nn.functional import interpolate

from data.dataset import Split
from data.geometry import Geometry
from data.gpu import constant, sent
from data.places import moved

CHUNK = 32  # images that are floats at a time
JITTER = 0.25  # of the glimpse size, in each direction
NOWHERE = -1_000_000  # a place outside of any image


class Seen(NamedTuple):
    """The observed part of B images on R x R cells.

    Attributes:
        values: (B, C, R, R) mean of the observed pixels of each cell, in [0, 1]; 0 where there are none.
        coverage: (B, 1, R, R) share of each cell's area that is observed.
    """

    values: Tensor
    coverage: Tensor


def working_side(geometry: Geometry, resolution: int) -> int:
    """R: cells per axis, at most one per pixel."""
    return min(resolution, geometry.height, geometry.width)


def overlaps(starts: Tensor, cells: int, extent: int) -> Tensor:
    """Share of each of R cells that the pixel from `start` to `start + 1` fills, along one axis.

    Args:
        starts: (...) floating point, anywhere; what lies outside the image fills nothing.
        cells: R, equal parts of the axis.
        extent: of the axis in pixels.

    Returns:
        (..., R).

    >>> overlaps(torch.tensor([-1.0, 0.0, 1.0, 2.0]), 2, 3).tolist()[1:]
    [[0.6666666865348816, 0.0], [0.3333333432674408, 0.3333333432674408], [0.0, 0.6666666865348816]]
    """
    edges = torch.arange(cells + 1, dtype=starts.dtype, device=starts.device) * extent / cells
    low = torch.maximum(starts[..., None], edges[:-1])
    high = torch.minimum(starts[..., None] + 1, edges[1:])
    return (high - low).clamp(min=0) * (cells / extent)


def averaged(pixels: Tensor, cells: int) -> Tensor:
    """Means over the cells, (..., R, R), of pixels (..., H, W): area weighting, exact for any ratio.

    >>> averaged(torch.tensor([[0.0, 1.0], [2.0, 5.0]]), 1).tolist()
    [[2.0]]
    """
    rows, cols = (
        overlaps(torch.arange(extent, dtype=pixels.dtype, device=pixels.device), cells, extent)
        for extent in pixels.shape[-2:]
    )
    return rows.T @ (pixels @ cols)


def to_cells(images: Tensor, rows: Tensor, cells: int) -> Tensor:
    """(M, C, R, R) float32 in [0, 1] of rows (M,) of images (N, H, W, C) uint8."""
    return torch.cat([averaged(_levels(images[chunk]), cells) / 255 for chunk in rows.split(CHUNK)])


def within_cells(images: Tensor, rows: Tensor, cells: int) -> Tensor:
    """(C, R, R) variance of pixels, in [0, 1], about the mean of their cell: an average over images.

    >>> images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 2, 1).expand(3, 2, 2, 1)
    >>> within_cells(images, torch.arange(3), 1).item()
    0.25
    """
    total = torch.zeros((), device=images.device)
    for chunk in rows.split(CHUNK):
        levels = _levels(images[chunk])
        total = total + (averaged(levels.square(), cells) - averaged(levels, cells).square()).sum(0)
    return (total / (len(rows) * 255**2)).clamp(min=0)


def _levels(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float().contiguous()


def spread(rows: Tensor, count: int) -> Tensor:
    """At most `count` of the rows, evenly spread over them."""
    return rows[sent(torch.linspace(0, len(rows) - 1, min(count, len(rows))).long(), rows.device)]


def observed_cells(glimpses: Tensor, locations: Tensor, geometry: Geometry, cells: int) -> Seen:
    """Glimpses pasted on an empty canvas and averaged over its cells.

    A pixel that several glimpses show counts once. Scale s of the retina is pasted as blocks of 2^s pixels
    where no finer scale was looking. Pixels outside the image vanish, and so does a glimpse that lies there.

    Args:
        glimpses: (B, t, S*C, G, G) in [0, 1], finest scale first; t may be 0.
        locations: (B, t, 3) int64 places of side G, the finest patch.
        geometry: of the sensor.
        cells: R.
    """
    total = glimpses.new_zeros(len(glimpses), geometry.channels + 1, cells, cells)
    for scale in range(geometry.scales):
        total = total + _pasted(glimpses, locations[..., :2], geometry, cells, scale)
    coverage = total[:, -1:]
    return Seen(total[:, :-1] / coverage.clamp(min=1e-6), coverage)


def _pasted(glimpses: Tensor, locations: Tensor, geometry: Geometry, cells: int, scale: int) -> Tensor:
    """(B, C + 1, R, R) sums over each cell of one scale's pixels, and of their number, per cell area."""
    factor, size = 2**scale, geometry.glimpse_size
    corners = _corners(locations, size, scale)
    pixels = corners[..., None] + torch.arange(size * factor, device=locations.device)  # (B, t, 2, P)
    weight = 1 / _showing(pixels, corners, size * factor).clamp(min=1).to(glimpses.dtype)
    if scale:
        finer = _showing(pixels, _corners(locations, size, scale - 1), size * factor // 2)
        weight = weight * (finer == 0)
    extent = constant(geometry.image_size, pixels.device)[:, None]
    inside = ((pixels >= 0) & (pixels < extent)).to(glimpses.dtype)
    share = inside.unflatten(-1, (size, factor)).mean(-1)  # of a block, along each axis: the rest read 0
    share = share[..., 0, :, None] * share[..., 1, None, :]
    channels = slice(scale * geometry.channels, (scale + 1) * geometry.channels)
    blocks = glimpses[:, :, channels] / share.clamp(min=1e-6)[:, :, None]
    patches = blocks.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    patches = torch.cat([patches, torch.ones_like(patches[:, :, :1])], 2) * weight[:, :, None]
    starts = pixels.to(glimpses.dtype)
    rows = overlaps(starts[..., 0, :], cells, geometry.height)  # (B, t, P, R)
    cols = overlaps(starts[..., 1, :], cells, geometry.width)
    return torch.einsum("btpr,btcps->bcrs", rows, patches @ cols[:, :, None])


def _corners(locations: Tensor, size: int, scale: int) -> Tensor:
    """Top-left pixels of the patches of one scale of the retina."""
    return locations - (2**scale - 1) * size // 2


def _showing(pixels: Tensor, corners: Tensor, side: int) -> Tensor:
    """(B, t, P, P) how many of the squares at `corners` (B, t, 2) show each pixel of patches (B, t, 2, P)."""
    offset = pixels[..., None] - corners.transpose(1, 2)[:, None, :, None]  # (B, t, 2, P, t)
    within = ((offset >= 0) & (offset < side)).float()
    return within[:, :, 0] @ within[:, :, 1].transpose(-1, -2)


def random_seen(
    split: Split,
    index: Tensor,
    geometry: Geometry,
    cells: int,
    places: Tensor,
    glimpses: int,
    generator: torch.Generator,
) -> Seen:
    """What 0 to T glimpses at shifted random places show of images `index` (B,), each number as likely."""
    drawn = torch.randint(len(places), (len(index), glimpses), generator=generator)
    reach = round(JITTER * geometry.glimpse_size)
    shift = torch.randint(-reach, reach + 1, (*drawn.shape, 2), generator=generator)
    number = torch.randint(glimpses + 1, (len(index), 1), generator=generator)
    hidden = (torch.arange(glimpses) >= number).to(places.device)
    locations = moved(places[drawn.to(places.device)], shift.to(places.device), geometry)
    shown = geometry.retina()(split.images, index, locations)
    return observed_cells(shown, locations.masked_fill(hidden[..., None], NOWHERE), geometry, cells)


def enlarged(pixels: Tensor, geometry: Geometry) -> Tensor:
    """(N, H, W, C) uint8, bilinear, of cells (N, C, R, R); levels beyond [0, 1] are clamped."""
    levels = (pixels.clamp(0, 1) * 255).round().contiguous(memory_format=torch.channels_last)
    if levels.device.type == "cpu":
        levels = levels.to(torch.uint8)  # some sixty times as fast there, and within one level of the same
    size = (geometry.height, geometry.width)
    large = interpolate(levels, size=size, mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def paste(images: Tensor, glimpses: Tensor, locations: Tensor) -> None:
    """Writes the finest scale of glimpses (B, t, S*C, G, G) at places (B, t, 3) into images, in place.

    Args:
        images: (B, N, H, W, C) uint8.
    """
    height, width, channels = images.shape[-3:]
    span = torch.arange(glimpses.shape[-1], device=images.device)
    rows = (locations[..., 0, None] + span)[..., :, None].expand(*glimpses.shape[:2], len(span), len(span))
    cols = (locations[..., 1, None] + span)[..., None, :].expand_as(rows)
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    image = inside.nonzero()[:, 0]
    levels = (glimpses[:, :, :channels] * 255).round().to(torch.uint8).movedim(2, -1)
    images[image, :, rows[inside], cols[inside]] = levels[inside][:, None]


class LatentModel(PyroModule):
    """A generative model of images on R x R cells through a latent z in D dimensions, with p(z) = N(0, I).

    Args:
        geometry: of images and sensor.
        latent: D.
        resolution: largest R.
        dtype: that it computes in.

    Attributes:
        cells: R.
        mean: (C, R, R) mean image, in [0, 1].
        within: (C, R, R) variance of pixels within a cell: how far part of a cell can be from all of it.
    """

    mean: Tensor
    within: Tensor

    def __init__(
        self, geometry: Geometry, latent: int, resolution: int, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.geometry, self.latent = geometry, latent
        self.cells = working_side(geometry, resolution)
        shape = (geometry.channels, self.cells, self.cells)
        self.register_buffer("mean", torch.zeros(shape, dtype=dtype))
        self.register_buffer("within", torch.zeros(shape, dtype=dtype))

    @property
    def noise(self) -> int:
        """Standard normals behind one draw."""
        return self.latent

    def draw(self, seen: Seen, noise: Tensor) -> Tensor:
        """z (N, D) given the observed part of one image, from standard normals (N, `noise`)."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Mean image (..., C, R, R) of z (..., D)."""
        raise NotImplementedError

    def noise_of(self, seen: Seen, variance: Tensor) -> Tensor:
        """(B, C, R, R) variance of observed values: that of pixels, and more where part of a cell is seen."""
        return variance + (1 - seen.coverage).clamp(min=0) * self.within


class LatentCompletion:
    """Completions by a `LatentModel`; a `boed.completions.completion.Completion`.

    Images are completed one by one: the result for one image is the same to the bit whatever the others are,
    and full-size images of one history at a time are in memory as floats.

    Args:
        network: the model; it is used in evaluation mode.
        pasted: write the observed pixels of the finest scale into the completions, which then agree with
            them exactly. Without it they are the model's own output.
    """

    def __init__(self, network: LatentModel, *, pasted: bool = True) -> None:
        self.network: nn.Module = network.eval()
        self.noise: int = network.noise
        self.pasted = pasted

    @torch.no_grad()
    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        """(B, N, H, W, C) uint8 for B histories of t glimpses; see `Completion`."""
        single = zip(glimpses.split(1), locations.split(1), noise, strict=True)
        images = torch.stack([self._complete_one(*history) for history in single])
        if self.pasted:
            paste(images, glimpses, locations)
        return images

    def _complete_one(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        """(N, H, W, C) for one history with B = 1, from noise (N, D)."""
        network: Any = self.network
        dtype = network.mean.dtype
        seen = observed_cells(glimpses.to(dtype), locations, network.geometry, network.cells)
        return enlarged(network.decode(network.draw(seen, noise.to(dtype))), network.geometry)
