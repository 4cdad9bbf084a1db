"""Corrupted images: moved, turned, of another size, noisy, blurred, of less contrast, at five severities.

Noise and contrast are as strong as those of ImageNet-C, the blur as that of CIFAR-10-C in proportion to the
side of the image (Hendrycks and Dietterich 2019, arXiv 1903.12261). What comes in from outside is black.

Shapes: N images, H and W their sides, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from data.arrays import whole_number
from data.corruption_names import CORRUPTIONS, SEVERITIES
from data.dataset import Split
from data.errors import SettingsError
from data.vision import torchvision_transforms

LARGEST_SEED = 2**31
AT_ONCE = 128  # images that are floats at the same time
SHIFTS = (0.04, 0.08, 0.12, 0.16, 0.2)  # of the side
DEGREES = (10, 20, 30, 40, 50)
FACTORS = (1.1, 1.2, 1.35, 1.5, 1.75)  # of the size, or of what is left of it
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)  # deviation, white being 1
BLUR, BLURRED_SIDE = (0.4, 0.6, 0.7, 0.8, 1), 32  # deviation in pixels of an image of this side
CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of it

Corruption = Callable[[Tensor, int, Sequence[torch.Generator]], Tensor]
"""(images (N, C, H, W) in [0, 1], severity from 1 to 5, a generator for each) -> images."""


def corrupted(split: Split, name: str, severity: int, seed: int = 0) -> Split:
    """The same split with corrupted images, in whole grey levels; where the objects are is no longer known.

    What is drawn for an image (a direction, a sign, noise) depends on the seed and on its id alone, and is
    the same at all severities.

    Args:
        name: a key of `data.corruption_names.CORRUPTIONS`.
        severity: 0, the images as they are, to 5.
        seed: of the draws, from 0 on.

    Raises:
        SettingsError: no such corruption or severity, an impossible seed, or torchvision is missing for it.

    >>> images, number = torch.full((1, 8, 8, 1), 99, dtype=torch.uint8), torch.tensor([0])
    >>> grey = Split(images, number, number, "")
    >>> noisy = corrupted(grey, "noise", 3).images
    >>> noisy.dtype, len(noisy.unique()) > 30, corrupted(grey, "noise", 0) is grey
    (torch.uint8, True, True)
    """
    corrupt: Corruption = CORRUPTIONS.require(name)
    if not 0 <= severity <= SEVERITIES:
        raise SettingsError(f"expected a severity from 0 to {SEVERITIES}, found {severity}; change it")
    whole_number(seed, "seed", 0)
    if seed >= LARGEST_SEED:
        raise SettingsError(f"expected a seed below {LARGEST_SEED}, found {seed}; change it")
    if severity == 0:
        return split
    parts = zip(split.images.split(AT_ONCE), split.ids.split(AT_ONCE), strict=True)
    changed = [_levels(corrupt(_floats(images), severity, draws_of(ids, seed))) for images, ids in parts]
    return with_images(split, torch.cat(changed), f"{name} {severity} {seed}")


def draws_of(ids: Tensor, seed: int) -> list[torch.Generator]:
    """A generator for each image, by the seed and its id.

    >>> one, same, other = (torch.rand(1, generator=each) for each in draws_of(torch.tensor([4, 4, 5]), 0))
    >>> bool(one == same), bool(one == other)
    (True, False)
    """
    return [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in ids.tolist()]


def with_images(split: Split, images: Tensor, how: str) -> Split:
    """A split whose images were changed as `how` says, which its fingerprint then tells."""
    return replace(split, images=images, boxes=None, fingerprint=f"{split.fingerprint}, {how}")


@CORRUPTIONS.register("translation")
def translation(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Moved in any direction, by 4 to 20 % of the side."""
    share, (height, width) = SHIFTS[severity - 1], images.shape[2:]
    angles = [2 * math.pi * _uniform(draw) for draw in draws]
    shifts = [(share * width * math.cos(angle), share * height * math.sin(angle)) for angle in angles]
    return _affine(images, shifts=shifts)


@CORRUPTIONS.register("rotation")
def rotation(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Turned around its middle to either side, by 10 to 50 degrees."""
    return _affine(images, degrees=[_sign(draw) * DEGREES[severity - 1] for draw in draws])


@CORRUPTIONS.register("scale")
def scale(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Larger or smaller, by a factor of 1.1 to 1.75."""
    return _affine(images, factors=[FACTORS[severity - 1] ** _sign(draw) for draw in draws])


@CORRUPTIONS.register("noise")
def noise(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Gaussian, of its own in every pixel and channel."""
    drawn = torch.stack([torch.randn(images.shape[1:], generator=draw) for draw in draws])
    return images + NOISE[severity - 1] * drawn.to(images)


@CORRUPTIONS.register("blur")
def blur(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """By a Gaussian; nothing is drawn."""
    deviation = BLUR[severity - 1] * max(images.shape[2:]) / BLURRED_SIDE
    size = 2 * math.ceil(3 * deviation) + 1
    blurred: Tensor = _transforms().gaussian_blur(images, [size, size], [deviation, deviation])
    return blurred


@CORRUPTIONS.register("contrast")
def contrast(images: Tensor, severity: int, draws: Sequence[torch.Generator]) -> Tensor:
    """Nearer to the mean grey level of the image; nothing is drawn."""
    faint: Tensor = _transforms().adjust_contrast(images, CONTRAST[severity - 1])
    return faint


def _affine(
    images: Tensor,
    *,
    degrees: Sequence[float] = (),
    shifts: Sequence[tuple[float, float]] = (),
    factors: Sequence[float] = (),
) -> Tensor:
    """Each image with its own angle, shift (right, down) and factor, interpolated; black from outside."""
    functional = _transforms()
    bilinear, count = functional.InterpolationMode.BILINEAR, len(images)
    each = zip(
        images,
        degrees or [0.0] * count,
        shifts or [(0.0, 0.0)] * count,
        factors or [1.0] * count,
        strict=True,
    )
    moved = [functional.affine(x, a, list(t), f, [0.0, 0.0], interpolation=bilinear) for x, a, t, f in each]
    return torch.stack(moved)


def _transforms() -> Any:
    return torchvision_transforms("corruptions other than noise")


def _uniform(draw: torch.Generator) -> float:
    return float(torch.rand((), generator=draw))


def _sign(draw: torch.Generator) -> int:
    """-1 or 1."""
    return 1 if _uniform(draw) < 0.5 else -1


def _floats(images: Tensor) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def _levels(images: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1], or beyond -> (N, H, W, C) uint8."""
    return (255 * images).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
