"""What can be asked of scattered faces, and what is refused; nothing slow is imported for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from data.errors import SettingsError, one_line

GLIMPSE_SIZE = 16
"""Side of a glimpse in pixels; no face is narrower."""


@dataclass(frozen=True)
class Scattering:
    """How faces are scattered.

    Attributes:
        canvas: side of the images in pixels.
        face_widths: narrowest and widest face in pixels, both of them possible.
        placements: of each training face, each with a place, a width and a background of its own.
        seed: of all of these.
        canvas_seed: other than 0: of others in design and test, see `data.placing`.

    Raises:
        SettingsError: no whole numbers, no range of widths, or faces that do not fit.

    >>> Scattering(canvas=64)
    Traceback (most recent call last):
    data.errors.SettingsError: expected a canvas for faces of up to 100 pixels, found 64; take another \
canvas or other face_widths
    """

    canvas: int = 128
    face_widths: tuple[int, int] = (56, 100)
    placements: int = 1
    seed: int = 0
    canvas_seed: int = 0

    def __post_init__(self) -> None:
        widths = tuple(self.face_widths) if isinstance(self.face_widths, list | tuple) else ()
        if len(widths) != 2 or not all(map(_is_whole, widths)) or not GLIMPSE_SIZE <= widths[0] <= widths[1]:
            raise SettingsError(
                f"expected face_widths of two whole numbers of pixels from {GLIMPSE_SIZE} on, narrowest and "
                f"widest, as 56,100; found {one_line(self.face_widths)}"
            )
        object.__setattr__(self, "face_widths", widths)
        for name, least in (("canvas", GLIMPSE_SIZE), ("placements", 1), ("seed", 0), ("canvas_seed", 0)):
            value = getattr(self, name)
            if not _is_whole(value) or value < least:
                raise SettingsError(
                    f"expected {name} of scattered faces as a whole number from {least} on, found "
                    f"{one_line(value)}; change it"
                )
        if self.canvas < widths[1]:
            raise SettingsError(
                f"expected a canvas for faces of up to {widths[1]} pixels, found {self.canvas}; take another "
                "canvas or other face_widths"
            )


def scattering_of(options: Mapping[str, Any]) -> Scattering | None:
    """How the options of `data.registry.load` scatter faces; None where they are aligned.

    Raises:
        SettingsError: impossible ones, or some that say nothing without "scatter".

    >>> scattering_of({"scatter": True, "placements": 2, "attribute": "Male"})
    Scattering(canvas=128, face_widths=(56, 100), placements=2, seed=0, canvas_seed=0)
    """
    names = [field.name for field in fields(Scattering)]
    asked = {name: options[name] for name in names if options.get(name) is not None}
    if options.get("scatter"):
        return Scattering(**asked)
    for name, value in asked.items():
        raise SettingsError(
            f"expected no {name} for celebahq without scatter, found {one_line(value)}; aligned faces have "
            "none: add scatter or leave it out"
        )
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
