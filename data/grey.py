"""Glimpses in grey levels, whose sums and products are exact.

Those of several scales, and of squares 2, 4 or 8 times as wide as a glimpse, are multiples of a 128th of a
grey level; other averages are rounded to such, the same wherever they are met.
"""

from __future__ import annotations

from torch import Tensor

GREY_STEPS = 128  # glimpses are kept as multiples of a 128th of a grey level: exact for up to four scales


def grey_levels(glimpses: Tensor) -> Tensor:
    """(B, S*C*G*G) of glimpses in [0, 1]: multiples of 1/128 of a grey level, whose products sum exactly."""
    return (glimpses.double() * 255 * GREY_STEPS).round().flatten(1) / GREY_STEPS
