"""What a photograph shows, whatever its file keeps: upright, opaque, with 8 bits a channel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from data.errors import DataError

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
SIXTEEN_BIT_FORMATS = ("PNG", "PPM")  # of which Pillow may read 16 bits into 32
PER_LEVEL = 257  # of 65,536 steps, so that white stays white
GROUND = (128, 128, 128, 255)  # behind transparent pixels: black and white shapes can both be seen on it
STRIP = 256  # rows
TURNED = 5  # orientations from here on exchange rows and columns
ORIENTATION = 0x0112  # tag of EXIF


def shown(image: Image.Image, mode: str) -> Image.Image:
    """An image as a viewer shows it, in "RGB" or "L": turned as its EXIF says, transparency on a grey ground.

    Levels of 16 bits become levels of 8; what has no fixed white (floating point, 32 bits) is refused.

    Raises:
        DataError: levels without a fixed white.

    >>> deep = Image.fromarray(np.array([[0, 32896, 65535]], np.uint16))
    >>> np.asarray(shown(deep, "L")).tolist()
    [[0, 128, 255]]
    """
    deep = image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format in SIXTEEN_BIT_FORMATS)
    upright = ImageOps.exif_transpose(image) if _is_turned(image) else image
    if deep:
        return _in_strips(upright, mode, lambda strip: _eight_bits(strip).convert(mode))
    if upright.mode in ("I", "F"):
        raise DataError(
            f"expected an image of 8 or 16 bits a channel, found mode {upright.mode}, whose white nobody "
            "knows; convert it to 8 or 16 bits"
        )
    if upright.has_transparency_data:
        return _in_strips(upright, mode, lambda strip: _on_ground(strip).convert(mode))
    return upright if upright.mode == mode else upright.convert(mode)


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(ORIENTATION, 1) != 1


def _in_strips(image: Image.Image, mode: str, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What strips of an image become, together: the memory is that of the image and of the result."""
    whole = Image.new(mode, image.size)
    for top in range(0, image.height, STRIP):
        box = (0, top, image.width, min(top + STRIP, image.height))
        whole.paste(change(image.crop(box)), (0, top))
    return whole


def _eight_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray(((levels + PER_LEVEL // 2) // PER_LEVEL).clip(0, 255).astype(np.uint8))


def _on_ground(image: Image.Image) -> Image.Image:
    whole = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", whole.size, GROUND), whole)


def upright_extent(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an image as `shown` turns it, from its header alone.

    >>> upright_extent(Image.new("L", (40, 30)))
    (30, 40)
    """
    turned = image.getexif().get(ORIENTATION, 1) >= TURNED
    return (image.width, image.height) if turned else (image.height, image.width)
