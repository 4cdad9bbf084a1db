"""The commands that are ended, on the built-in digits: the smallest settings with several phases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.survival.process import CHECKED, SECONDS

NETWORKS, CHECKS = 3, 2  # of a frontier or a table; of each, beside the one before the first iteration
MINUTES = NETWORKS * CHECKS * CHECKED * SECONDS / 60  # by the counted clock
_CPU = "--device cpu"
_TINY = f"--trial-images 10 --width 24 {_CPU}"
_FIT = f"boed fit --glimpses 5 --iterations 60 {_TINY}"
_GENERATE = f"boed generate --glimpses 3 {_CPU}"
_SMALL = "recipe = { hidden = 16, batch_size = 32 }"

GRID = f"""
[[families]]
name = "attention"
method = "ps-nogs"
sequences = "fixed-order"
{_SMALL}
sizes = [{{}}]

[[families]]
name = "cnn"
baseline = "cnn"
recipe = {{ batch_size = 32 }}
sizes = [{{ resolution = 10, width = 0.5 }}]

[[families]]
name = "early exit"
baseline = "early-exit"
recipe = {{ batch_size = 32 }}
sizes = [{{ resolution = 20, width = 0.5 }}]
"""
TABLE = f"""
dataset = "digits"
glimpses = 3

[[rows]]
name = "reinforced"
method = "ram"
{_SMALL}

[[rows]]
name = "recorded"
method = "ps-nogs"
sequences = "recorded"
{_SMALL}

[[rows]]
name = "designed"
method = "ps-nogs"
sequences = "fixed-order"
{_SMALL}
"""


@dataclass(frozen=True)
class Ended:
    """A command that is ended and taken up.

    Attributes:
        words: of its command line.
        before: command lines that are run first, each to its end.
    """

    words: str
    before: tuple[str, ...] = ()


COMMANDS: Mapping[str, Ended] = {
    "fit": Ended(f"boed fit --glimpses 2 --iterations 80 {_TINY} --estimator amortised"),
    "generate": Ended(f"{_GENERATE} --images 60", (_FIT, f"{_GENERATE} --images 20")),
    "train": Ended(
        f"hardattn train --supervise --glimpses 3 --hidden 16 --epochs 17 --batch-size 64 {_CPU}",
        (_FIT, f"{_GENERATE} --images 60"),
    ),
    "frontier": Ended(f"hardattn frontier --grid grid.toml --seeds 1 --minutes {MINUTES} {_CPU}", (_FIT,)),
    "reproduce": Ended(f"hardattn reproduce tiny --designs runs --minutes {MINUTES} {_CPU}", (_FIT,)),
}
"""By what the table calls them. Of `generate` the store is there for fewer images, and grows."""


def write_settings(folder: Path) -> Path:
    """The networks of the frontier into `folder`, and the table of `reproduce`; the folder of the latter."""
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    (tables / "tiny.toml").write_text(TABLE)
    return tables
