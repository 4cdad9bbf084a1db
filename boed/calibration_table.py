"""What a calibration says to people: a line for each glimpse, or for each of several attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from boed.calibration import SHARE, TOLERANCE, CalibrationRow

HEAD = ("t", "H before", "NLL before", "predicted", "realised", "difference (s.e.)", "slope", "correlation")
WITHIN = f"within {TOLERANCE:g} nats or {100 * SHARE:g} %"


def calibration_table(rows: Sequence[CalibrationRow], split: str = "valid") -> str:
    """A line for each glimpse, under a caption that names the images.

    Args:
        rows: from `boed.measure_calibration`, of a split with this name.

    >>> row = CalibrationRow(1, 9, 2.3, 2.3, 1.5, 1.52, 0.1, 0.9, 0.5, ())
    >>> print(calibration_table([row]).splitlines()[-2])
     1     2.300       2.300      1.500     1.520     -0.020 (0.100)   0.90         0.50
    """
    cells = [
        f"{row.step:>2} {row.entropy:>9.3f} {row.nll:>11.3f} {row.predicted:>10.3f} {row.realised:>9.3f} "
        f"{f'{row.predicted - row.realised:+.3f} ({row.error:.3f})':>18} {row.slope:>6.2f} "
        f"{row.correlation:>12.2f}"
        for row in rows
    ]
    head = "{:>2} {:>9} {:>11} {:>10} {:>9} {:>18} {:>6} {:>12}".format(*HEAD)
    return "\n".join([caption(rows, split), head, *cells, f"they agree {WITHIN} at {agreement(rows)} t"])


def attributes_table(found: Mapping[str, Sequence[CalibrationRow]], split: str = "valid") -> str:
    """A line for each attribute: predicted / realised at every t, and at how many they agree.

    Args:
        found: attribute -> its rows, of a split with this name.

    >>> row = CalibrationRow(1, 9, 0.7, 0.7, 0.5, 0.6, 0.1, 0.9, 0.5, ())
    >>> print(attributes_table({"Male": [row]}).splitlines()[-1])
    Male            0.500 / 0.600    0 of 1
    """
    first = next(iter(found.values()))
    steps = "".join(f"{f't = {row.step}':>16}" for row in first)
    lines = [
        f"{name:<13}" + "".join(f"{pair(row):>16}" for row in rows) + f"{agreement(rows):>10}"
        for name, rows in found.items()
    ]
    head = f"{'attribute':<13}{steps}{'agree':>10}"
    return "\n".join([f"{caption(first, split)}; predicted / realised, which agree {WITHIN}", head, *lines])


def caption(rows: Sequence[CalibrationRow], split: str) -> str:
    """Which images figures are of.

    >>> caption([CalibrationRow(1, 1000, 0.7, 0.7, 0.5, 0.6, 0.1, 0.9, 0.5, ())], "valid")
    'EPE of the chosen places, nats, on 1,000 images of valid, which neither q nor the bank has seen'
    """
    unseen = f"{rows[0].images:,} images of {split}, which neither q nor the bank has seen"
    return f"EPE of the chosen places, nats, on {unseen}"


def pair(row: CalibrationRow) -> str:
    """What is predicted and realised of one glimpse."""
    return f"{row.predicted:.3f} / {row.realised:.3f}"


def agreement(rows: Sequence[CalibrationRow]) -> str:
    """At how many t prediction and realisation agree."""
    return f"{sum(row.agrees for row in rows)} of {len(rows)}"
