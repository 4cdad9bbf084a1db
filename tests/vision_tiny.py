"""A torchvision for the tests of corruptions: the real one where it is installed, and one that stands in."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Sequence
from enum import Enum
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

FUNCTIONAL = "torchvision.transforms.v2.functional"
_operators: list[torch.library.Library] = []


class Interpolation(Enum):
    """Of the one that stands in."""

    BILINEAR = "bilinear"


def take_torchvision(kind: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions that corruptions are made with, "real" or a "stand-in", in the place of torchvision's."""
    if kind == "stand-in":
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, FUNCTIONAL, stand_in())
    elif importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install 'boed-hardattn[vision]'")
    return _imported()


def _imported() -> Any:
    try:
        return importlib.import_module(FUNCTIONAL)
    except RuntimeError:  # its compiled operators, which no corruption uses, are for another torch
        _operators.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            _operators[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return importlib.import_module(FUNCTIONAL)


def stand_in() -> Any:
    """A module with torchvision's signatures."""
    made: Any = ModuleType(FUNCTIONAL)
    made.InterpolationMode = Interpolation
    made.affine, made.gaussian_blur, made.adjust_contrast = affine, gaussian_blur, adjust_contrast
    return made


def affine(
    image: Tensor, angle: float, translate: list[float], scale: float, shear: list[float], interpolation: Any
) -> Tensor:
    """(C, H, W) turned clockwise, moved (right, down) and made larger, around its middle."""
    assert shear == [0.0, 0.0] and interpolation.value == "bilinear"
    (height, width), turn = image.shape[1:], math.radians(angle)
    right, down = 2 * translate[0] / width, 2 * translate[1] / height
    cos, sin = math.cos(turn) / scale, math.sin(turn) / scale  # of a square image
    rows = [[cos, sin, -cos * right - sin * down], [-sin, cos, sin * right - cos * down]]
    where = affine_grid(torch.tensor([rows]), [1, 1, height, width], align_corners=False)
    return grid_sample(image[None], where, "bilinear", "zeros", align_corners=False)[0]


def gaussian_blur(images: Tensor, size: Sequence[int], deviation: Sequence[float]) -> Tensor:
    """(N, C, H, W) by one Gaussian, mirrored at the border."""
    half = size[0] // 2
    line = torch.exp(-((torch.arange(size[0]) - half) ** 2) / (2 * deviation[0] ** 2))
    kernel = torch.outer(line, line) / line.sum() ** 2
    wide = pad(images, [half] * 4, mode="reflect").flatten(0, 1)[:, None]
    return conv2d(wide, kernel[None, None])[:, 0].view(images.shape)


def adjust_contrast(images: Tensor, factor: float) -> Tensor:
    """(N, C, H, W) nearer to the mean of each, of its grey levels."""
    grey = (
        images
        if images.shape[1] == 1
        else 0.299 * images[:, :1] + 0.587 * images[:, 1:2] + 0.114 * images[:, 2:]
    )
    mean = grey.mean((1, 2, 3), keepdim=True)
    return (factor * images + (1 - factor) * mean).clamp(0, 1)
