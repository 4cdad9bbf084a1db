"""Pictures and maps as short text, so that one page can hold them."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

LARGEST = 224  # side of an embedded picture, in pixels
DIGITS = 5  # of a figure that is only looked at


def png_uri(pixels: np.ndarray) -> str:
    """A picture (H, W, C) uint8, C being 1 or 3, as a data URI; made smaller where a side exceeds 224 pixels.

    >>> png_uri(np.zeros((4, 4, 1), np.uint8))[:22]
    'data:image/png;base64,'
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels))
    picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def quantised(values: np.ndarray) -> dict[str, Any]:
    """Finite values in 256 levels from `low` to `high`, one byte each, in base64 and row-major order.

    >>> quantised(np.array([[1.0, 3.0]]))
    {'low': 1.0, 'high': 3.0, 'bytes': 'AP8='}
    """
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low) if high > low else 0.0)
    levels = np.rint(scaled).astype(np.uint8)
    return {"low": rounded(low), "high": rounded(high), "bytes": base64.b64encode(levels.tobytes()).decode()}


def unpacked(map_: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """The values of a map that `quantised` made."""
    levels = np.frombuffer(base64.b64decode(map_["bytes"]), np.uint8).reshape(shape)
    return np.asarray(map_["low"] + levels / 255 * (map_["high"] - map_["low"]))


def decoded(uri: str) -> np.ndarray:
    """The pixels of a picture that `png_uri` made."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def rounded(value: Any) -> Any:
    """Numbers, and lists of them, with five significant digits.

    >>> rounded([0.123456789, [2, 3.0]])
    [0.12346, [2, 3.0]]
    """
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def without_nan(value: Any) -> Any:
    """The same JSON value with null for every number that JSON has not.

    >>> without_nan({"nll": [0.5, math.nan, math.inf]})
    {'nll': [0.5, None, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
