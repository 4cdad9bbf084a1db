"""How well completions agree with what was seen, and how much they differ where nothing was."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boed.completions.completion import Completion
from data.dataset import Split
from data.geometry import Geometry

CHUNK = 4


@dataclass(frozen=True)
class CompletionQuality:
    """In grey levels, 0 to 255; root mean squares over pixels and colours, completions and images.

    Good completions have a small `rmse_observed` and `std_observed`, and a `std_unobserved` such that
    `rmse_unobserved` is sqrt(2) times it: image and completion are then two draws of one distribution.

    Attributes:
        rmse_observed: distance of completions to the image, at observed pixels.
        rmse_unobserved: the same at the other pixels.
        std_observed: standard deviation across the completions of one history, at observed pixels.
        std_unobserved: the same at the other pixels.
    """

    rmse_observed: float
    rmse_unobserved: float
    std_observed: float
    std_unobserved: float


@torch.no_grad()
def completion_quality(
    completion: Completion,
    split: Split,
    rows: Tensor,
    locations: Tensor,
    geometry: Geometry,
    *,
    draws: int = 16,
    seed: int = 0,
) -> CompletionQuality:
    """Completes images from their own glimpses and compares. Observed are the pixels of the finest scale.

    A completion that pastes what was seen has an `rmse_observed` of zero; ask for one that does not.

    Args:
        completion: of any kind.
        split, rows: (B,) images, which the completion was not trained on.
        locations: (t, 3) or (B, t, 3) places.
        geometry: of the sensor.
        draws: N >= 2 completions of each image.
        seed: of their noise.
    """
    places = locations.expand(len(rows), *locations.shape[-2:])
    generator = torch.Generator().manual_seed(seed)
    sums = torch.zeros(2, 3, dtype=torch.float64)
    for chunk, where in zip(rows.split(CHUNK), places.split(CHUNK), strict=True):
        noise = torch.randn(len(chunk), draws, completion.noise, generator=generator).to(where.device)
        completed = completion.complete(geometry.retina()(split.images, chunk, where), where, noise).cpu()
        sums += _sums(completed.float(), split.images[chunk].cpu().float(), observed_pixels(where, geometry))
    (seen, unseen) = (sums[:, :2] / sums[:, 2:].clamp(min=1)).sqrt().tolist()
    return CompletionQuality(seen[0], unseen[0], seen[1], unseen[1])


def _sums(completed: Tensor, images: Tensor, observed: Tensor) -> Tensor:
    """(2, 3): squared error, variance and number of values, at observed and at other pixels."""
    error = (completed - images[:, None]).square().mean(1).sum(-1)  # (B, N, H, W, C) -> (B, H, W)
    variance = completed.var(1).sum(-1)
    number = torch.full_like(error, images.shape[-1])
    terms = torch.stack([error, variance, number]).double()
    return torch.stack([(terms * mask).flatten(1).sum(1) for mask in (observed, ~observed)])


def observed_pixels(locations: Tensor, geometry: Geometry) -> Tensor:
    """(B, H, W) whether a pixel is in the finest patch at any of the places (B, t, 3).

    >>> mask = observed_pixels(torch.tensor([[[0, -1, 2]]]), Geometry(3, 3, 1, glimpse_size=2))
    >>> mask[0].int().tolist()
    [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    """
    rows, cols = (
        torch.arange(extent) - locations.cpu()[..., axis, None]  # (B, t, extent)
        for axis, extent in enumerate((geometry.height, geometry.width))
    )
    in_rows, in_cols = ((part >= 0) & (part < geometry.glimpse_size) for part in (rows, cols))
    return (in_rows[..., :, None] & in_cols[..., None, :]).any(1)
