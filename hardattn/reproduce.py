"""`hardattn reproduce NAME`: a published table, row by row, within a budget of minutes.

The settings of a table are a readable file, `hardattn/tables/NAME.toml`: the task, and for every row a method
or a baseline, its recipe and its share of the time. Model choice is by validation: of every row the weights
with the best validation NLL, and of the rows with glimpses the one with the best validation accuracy.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.errors import GlimpseError, SettingsError
from data.geometry import Geometry
from data.registry import load
from hardattn import checkpoint
from hardattn.evaluate import evaluate
from hardattn.learner import Budget
from hardattn.train import read_log, train
from hardattn.whole_image import train_baseline
from supervision.parts import write_parts
from supervision.store import SequenceStore

MINUTES = 60.0
Say = Callable[[str], None]


def table_names() -> list[str]:
    """Tables that can be reproduced.

    >>> "mnist-28" in table_names()
    True
    """
    return sorted(
        path.name.removesuffix(".toml") for path in _tables().iterdir() if path.name.endswith(".toml")
    )


def read_table(name: str) -> dict[str, Any]:
    """The settings of a table; raises SettingsError for one that there is not."""
    if name not in table_names():
        raise SettingsError(f"expected a table of {', '.join(table_names())}; found {name!r}")
    return tomllib.loads((_tables() / f"{name}.toml").read_text())


@dataclass(frozen=True)
class Row:
    """One row of a table, as it came out.

    Attributes:
        method: what it is, in words.
        error_percent: of the test images, after the last glimpse.
        published_error_percent: of the row that it stands beside, None without one.
        validation_percent: error of the validation images, which chooses.
        seconds, iterations: of training.
        mflops: of one image, a multiply-add being 2.
        glimpses: whether it looks at glimpses, which a baseline does not.
    """

    method: str
    error_percent: float
    published_error_percent: float | None
    validation_percent: float
    seconds: float
    iterations: int
    seed: int
    mflops: float
    parameters: int
    glimpses: bool


@dataclass(frozen=True)
class Reproduction:
    """A whole table; `error_percent` is that of the row with glimpses that validation chooses."""

    name: str
    rows: list[Row]
    published_error_percent: float | None
    minutes: float

    @property
    def chosen(self) -> Row:
        looking = [row for row in self.rows if row.glimpses]
        return min(looking or self.rows, key=lambda row: row.validation_percent)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": [asdict(row) for row in self.rows],
            "error_percent": self.chosen.error_percent,
            "published_error_percent": self.published_error_percent,
            "minutes": self.minutes,
        }


@dataclass(frozen=True)
class Work:
    """What all rows of a table share.

    Attributes:
        table: its settings.
        dataset: of the table.
        opened: what `data.registry.load` was called with.
        folder: for everything that is made.
        minutes: of training, for all rows together.
    """

    table: Mapping[str, Any]
    dataset: DataSet
    opened: dict[str, Any]
    folder: Path
    minutes: float
    seed: int
    device: str

    @classmethod
    def of(
        cls, name: str, data_root: Path | None, folder: Path, minutes: float, seed: int, device: str
    ) -> Work:
        table = read_table(name)
        options: dict[str, Any] = {key: table[key] for key in ("canvas", "attribute") if key in table}
        dataset = load(table["dataset"], data_root, **options)
        opened: dict[str, Any] = {"name": table["dataset"], **options}
        opened["data_root"] = data_root and str(data_root.resolve())
        return cls(table, dataset, opened, folder, minutes, seed, device)

    @property
    def geometry(self) -> Geometry:
        sensor = {key: self.table[key] for key in ("scales", "glimpse_size") if key in self.table}
        return replace(self.dataset.geometry, **sensor)

    def budget(self, row: Mapping[str, Any]) -> Budget:
        """A row's share of the minutes."""
        total = sum(float(other.get("share", 1.0)) for other in self.table["rows"])
        return Budget(minutes=self.minutes * float(row.get("share", 1.0)) / total)


def reproduce(
    name: str,
    data_root: Path | None,
    folder: Path,
    *,
    minutes: float = MINUTES,
    seed: int = 0,
    device: str = "auto",
    only: str = "",
    say: Say = print,
) -> Reproduction:
    """Trains and evaluates every row of a table into `folder`; what is done is not done again.

    Args:
        name: see `table_names`.
        data_root: of the table's data set.
        minutes: of training, for all rows together; each has its share.
        only: rows whose name contains this; the others keep their share of the time.
        say: is told what begins.

    Raises:
        SettingsError: an unknown table, no time, or no such row.
    """
    rows = [row for row in read_table(name)["rows"] if only in row["name"]]
    if not rows or not minutes > 0:
        raise SettingsError(
            f"expected rows of {name} and minutes above 0, found {len(rows)} rows and {minutes} minutes"
        )
    work, found = Work.of(name, data_root, folder, minutes, seed, device), []
    for row in rows:
        say(f"{row['name']}: {work.budget(row).minutes:.1f} minutes")
        found.append(_row(row, _trained(work, row), seed, device))
    return Reproduction(name, found, work.table.get("published_error_percent"), minutes)


def _trained(work: Work, row: Mapping[str, Any]) -> Path:
    """The run folder of a row, trained."""
    run = work.folder / f"{_slug(row['name'])}-{work.seed}"
    options: dict[str, Any] = {"budget": work.budget(row), "seed": work.seed, "device": work.device}
    options |= {"opened_with": work.opened, **row.get("recipe", {})}
    if "baseline" in row:
        return train_baseline(work.dataset, run, row["baseline"], **options)
    if "sequences" in row:
        options["store"] = _sequences(work, row["sequences"])
    glimpses, geometry = work.table["glimpses"], work.geometry
    return train(work.dataset, run, method=row["method"], glimpses=glimpses, geometry=geometry, **options)


def _sequences(work: Work, kind: str) -> SequenceStore:
    """What a row imitates: parts are written here, designs by `boed generate`."""
    path, glimpses, geometry = work.folder / f"sequences-{kind}.h5", work.table["glimpses"], work.geometry
    if kind.startswith("parts-"):
        split = kind.removeprefix("parts-")
        return write_parts(
            path, work.dataset, split, glimpses=glimpses, geometry=geometry, origin=work.opened
        )
    options = {
        "source": kind,
        "run": work.folder / "design",
        "out": path,
        "seed": work.seed,
        "glimpses": glimpses,
        "scales": geometry.scales,
        "glimpse-size": geometry.glimpse_size,
        "dataset": work.opened["name"],
        "data-root": work.opened["data_root"],
        "canvas": work.opened.get("canvas"),
    }
    given = {f"--{name}": str(value) for name, value in options.items() if value is not None}
    words = [word for pair in given.items() for word in pair]
    call = [sys.executable, "-m", "boed", "generate", *words]
    if subprocess.run(call, stdout=sys.stderr, check=False).returncode:
        raise GlimpseError(f"expected designs from `{' '.join(call[1:])}`, found that it failed; see above")
    return SequenceStore.read(path)


def _row(row: Mapping[str, Any], run: Path, seed: int, device: str) -> Row:
    """The figures of a trained row; the test images are looked at here, once."""
    seen, log = evaluate(run, device=device), list(read_log(run / checkpoint.LOG))
    best = min(log, key=lambda line: line["nll"])
    return Row(
        method=row["name"],
        error_percent=100 * (1 - list(seen.accuracy_at.values())[-1]),
        published_error_percent=row.get("published_error_percent"),
        validation_percent=100 * (1 - best["accuracy"]),
        seconds=log[-1]["seconds"],
        iterations=log[-1]["iteration"],
        seed=seed,
        mflops=seen.mflops_per_glimpse * len(seen.accuracy_at),
        parameters=seen.parameters,
        glimpses="baseline" not in row,
    )


def _slug(name: str) -> str:
    """A folder's name.

    >>> _slug("fully connected, 2 layers of 256")
    'fully-connected-2-layers-of-256'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _tables() -> Any:
    return files("hardattn.tables")


def as_text(found: Reproduction) -> str:
    """The table for people."""
    head = f"{found.name}, {found.minutes:g} minutes of training in all"
    titles = f"{'error %':>8} {'published':>10} {'valid. %':>9} {'seconds':>8} {'MFLOPs':>8}"
    lines = [f"{titles} {'parameters':>11}  row"]
    for row in found.rows:
        published = "" if row.published_error_percent is None else f"{row.published_error_percent:.2f}"
        lines.append(
            f"{row.error_percent:>8.2f} {published:>10} {row.validation_percent:>9.2f} {row.seconds:>8.0f} "
            f"{row.mflops:>8.2f} {row.parameters:>11,}  {row.method}"
        )
    published = f", published {found.published_error_percent:.2f}" if found.published_error_percent else ""
    tail = f"chosen on validation: {found.chosen.method}, {found.chosen.error_percent:.2f} % error{published}"
    return "\n".join([head, *lines, tail])
