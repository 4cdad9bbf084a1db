"""The settings of the published tables, `tables/NAME.toml`, and the trainings that they ask for.

What is said outside the rows holds for every row that does not say otherwise: data set and its options, and
the glimpses. A table may have several attributes and several seeds; then every row is trained for each. A row
without method and baseline is trained in each of the table's `ways`, which have a method and a recipe. Its
list `published` has the published figures that no row stands beside, and `published_on` the data set that
those of its rows are of, where that is another one.

Where its own glimpses are part of what a row does, `beside` has those of the rows among which it is chosen.

A row that imitates designs may say how its `fit` is not as usual: fields of `FitSettings`, and parts of a
`Combination`. With `sequences = "design-train"` designs are made for as many training images as its `images`
says; with `features = "fit"` its encoder begins with what that fit has learned.

A row's `magnification` says how wide a glimpse is, see `data.geometry.affine_crops`: also of a method with
plain glimpses, after a first glance then. Its `features` name the row whose encoder it begins with. What
`elsewhere.NAME` of a table says holds on the data set of that name instead, with the rows that it lists.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.errors import CheckpointError, SettingsError
from hardattn.experiments.sequence_kinds import PARTS
from hardattn.objectives.registry import METHODS
from hardattn.training import checkpoint
from hardattn.training.choices import UNCLIPPED

LOADED_WITH = ("canvas", "attribute", "region", "placements", "size", "canvas_seed")
SENSOR = ("glimpse_size", "scales", "first_glance", "sides")
SEEN = ("glimpses", *SENSOR, "magnification")
TASK = ("dataset", *LOADED_WITH, *SEEN)
COMMON = (*TASK, "unseen", "published_on")


def table_names() -> list[str]:
    """Tables that can be reproduced.

    >>> "mnist-28" in table_names()
    True
    """
    return sorted(
        path.name.removesuffix(".toml") for path in _tables().iterdir() if path.name.endswith(".toml")
    )


def read_table(name: str, dataset: str | None = None) -> dict[str, Any]:
    """The settings of a table, on another data set than its own where one is named.

    Raises:
        SettingsError: there is no such table, or it says nothing of that data set.
    """
    if name not in table_names():
        raise SettingsError(f"expected a table of {', '.join(table_names())}; found {name!r}")
    table = tomllib.loads((_tables() / f"{name}.toml").read_text())
    others = table.pop("elsewhere", {})
    if dataset in (None, table.get("dataset")):
        return table
    if dataset not in others:
        known = ", ".join(filter(None, [table.get("dataset"), *others])) or "none"
        raise SettingsError(f"expected --dataset of {known} for the table {name}; found {dataset!r}")
    return _elsewhere(table, others[dataset]) | {"dataset": dataset}


@dataclass(frozen=True)
class Training:
    """One network to train: a row of a table, for one attribute and one seed.

    Attributes:
        row: its settings, with those of the table where it has none of its own.
        tag: what tells its task from the others of the table, for the names of files.
        sensor_tag: the same without the number of glimpses.
        minutes: of training.
    """

    row: Mapping[str, Any]
    tag: str
    sensor_tag: str
    seed: int
    minutes: float

    @property
    def name(self) -> str:
        return str(self.row["name"])

    @property
    def run_name(self) -> str:
        """Of its folder."""
        return f"{slug(' '.join([self.name, self.row.get('attribute', '')]))}-{self.seed}"

    @property
    def way(self) -> str:
        """Which of the table's ways it is, "" where its row has a method of its own."""
        return str(self.row.get("way", ""))

    @property
    def given(self) -> dict[str, Any]:
        """What of its task the table says."""
        return {key: self.row[key] for key in ("attribute", *TASK) if key in self.row}

    @property
    def recipe(self) -> dict[str, Any]:
        """Fields of the recipe that are not the usual ones; the file says "none" for no clipping."""
        recipe = dict(self.row.get("recipe", {}))
        return recipe | ({"clip": None} if recipe.get("clip") == UNCLIPPED else {})

    @property
    def sensor(self) -> dict[str, Any]:
        """What its glimpses have that is not the data set's."""
        return {key: self.row[key] for key in SENSOR if key in self.row}

    @property
    def chooses(self) -> bool:
        """Whether it learns where to look."""
        if "baseline" in self.row or METHODS[self.row["method"]].evaluation != "greedy":
            return False
        return not self.crops or self.row["glimpses"] > 1  # the first is the whole image

    @property
    def crops(self) -> bool:
        """Whether its glimpses are affine crops."""
        return "baseline" not in self.row and METHODS[self.row["method"]].crops

    @property
    def told(self) -> str:
        """What it knows of training images beside their labels: "boxes" of the objects, or nothing."""
        box = dict(self.recipe.get("rewards", {})).get("box", 0)
        return "boxes" if box or str(self.row.get("sequences", "")).startswith(PARTS) else ""

    @property
    def task(self) -> str:
        """Its task in words; that of a baseline has no glimpses."""
        sensor = () if "baseline" in self.row else SEEN
        said = {key: self.row[key] for key in ("canvas", "size") if key in self.row}
        said |= {key: value for key, value in self.row.get("beside", self.row).items() if key in sensor}
        named = [f"{key.replace('_', ' ')} {in_words(said[key])}" for key in COMMON if key in said]
        parts = [self.row["dataset"], self.row.get("attribute"), self.row.get("region"), *named]
        return ", ".join(part for part in parts if part)

    def published(self, figure: str) -> float | None:
        """A published figure of the row, which may be told by attribute; None where none is known."""
        value = self.row.get(f"published_{figure}")
        return value.get(self.row["attribute"]) if isinstance(value, Mapping) else value


def trainings(table: Mapping[str, Any], *, minutes: float, seed: int, seeds: int) -> list[Training]:
    """Everything that a table asks for; each training has its row's share of the minutes.

    Args:
        table: from `read_table`.
        minutes: for all of them together.
        seed: the first one.
        seeds: how many, one after the other.

    >>> table = {"dataset": "digits", "rows": [{"name": "a", "share": 3.0}, {"name": "b", "scales": 2}]}
    >>> table["ways"] = [{"name": "way", "method": "random"}]
    >>> [(one.run_name, one.tag, one.minutes) for one in trainings(table, minutes=8, seed=0, seeds=1)]
    [('way-a-0', '', 6.0), ('way-b-0', '-scales-2', 2.0)]
    """
    rows = [row for given in table["rows"] for row in _each_way(given, table.get("ways", []))]
    targets: list[dict[str, str]] = [{"attribute": name} for name in table.get("attributes", [])] or [{}]
    common = {key: table[key] for key in COMMON if key in table}
    parts = sum(float(row.get("share", 1.0)) for row in rows) * len(targets) * seeds
    return [
        Training({**common, **row, **target}, *_tags({**row, **target}), seed + n, minutes * share / parts)
        for target in targets
        for row in rows
        for share in [float(row.get("share", 1.0))]
        for n in range(seeds)
    ]


def chosen(every: Sequence[Training], only: str, attributes: Collection[str]) -> list[Training]:
    """The trainings of the row named `only`, for these attributes or, where none is named, all.

    Where no row has that name they are those of all rows whose name contains it.

    Raises:
        SettingsError: there is no such row, or no such attribute.
    """
    known = dict.fromkeys(one.row["attribute"] for one in every if "attribute" in one.row)
    for name in attributes:
        if not known:
            raise SettingsError(f"expected no --attribute for a table of no attributes, found {name}")
        if name not in known:
            raise SettingsError(f"expected --attribute of {', '.join(known)}; found {name!r}")
    exact = [one for one in every if only == one.name]
    matching = exact or [one for one in every if only in one.name]
    if not matching:
        names = "; ".join(dict.fromkeys(one.name for one in every))
        raise SettingsError(f"expected --row with a part of one of the names {names}; found {only!r}")
    return [one for one in matching if not attributes or one.row.get("attribute") in attributes]


def require_minutes(run: Path, minutes: float) -> None:
    """Raises CheckpointError where a network is there already that was trained for another time.

    Args:
        run: its folder.
        minutes: its share of those of a table or of a frontier.
    """
    path = run / checkpoint.RUN
    if not path.is_file():
        return
    found = checkpoint.read_json(path).get("settings", {}).get("budget", {}).get("minutes")
    if found != minutes:
        known = "another budget" if found is None else f"{found:g}"
        raise CheckpointError(
            f"expected {run} of {minutes:g} minutes, its share of --minutes among all networks, found "
            f"{known}; use the same --minutes, or another --run folder"
        )


def in_words(value: object) -> str:
    """A setting of a file as part of a name: a list with commas.

    >>> in_words([8, 16]), in_words("all")
    ('8,16', 'all')
    """
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def slug(name: str) -> str:
    """A folder's name.

    >>> slug("fully connected, 2 layers of 256")
    'fully-connected-2-layers-of-256'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _each_way(row: Mapping[str, Any], ways: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A row in each of the ways, named after both; itself where it has a method or a baseline of its own."""
    if "method" in row or "baseline" in row or not ways:
        return [row]
    return [{**way, **row, "name": f"{way['name']}, {row['name']}", "way": way["name"]} for way in ways]


def _tags(own: Mapping[str, Any]) -> tuple[str, str]:
    """The task settings that are not the table's, as the end of a file's name; with and without glimpses."""
    known = {key: f"-{slug(f'{key} {in_words(own[key])}')}" for key in TASK if key in own}
    return "".join(known.values()), "".join(tag for key, tag in known.items() if key != "glimpses")


def _elsewhere(table: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A table on another data set: the rows that are named, and all else in place of its own.

    >>> table = {"canvas": 60, "seeds": 3, "rows": [{"name": "a"}, {"name": "b"}]}
    >>> _elsewhere(table, {"rows": ["b"], "size": 128, "without": ["canvas"]})
    {'seeds': 3, 'rows': [{'name': 'b'}], 'size': 128}
    """
    rows = [row for row in table["rows"] if row["name"] in other["rows"]]
    kept = {key: value for key, value in table.items() if key not in other.get("without", ())}
    return kept | {key: value for key, value in other.items() if key != "without"} | {"rows": rows}


def _tables() -> Any:
    return files("hardattn.experiments.reproduce.tables")
