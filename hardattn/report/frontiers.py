"""Frontiers of accuracy against compute, from the files that `hardattn frontier` writes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.errors import CheckpointError, SettingsError
from hardattn.training import checkpoint

BESIDE = ("frontier.json", "frontier/frontier.json")


def is_frontier(path: Path) -> bool:
    """Whether a path given to a report names a frontier, and not the folder of a run.

    >>> is_frontier(Path("runs/digits/frontier.json")), is_frontier(Path("runs/digits/hardattn-ram-0"))
    (True, False)
    """
    return path.suffix == ".json"


def read_frontier(path: Path) -> dict[str, Any]:
    """A file {"points": [...], "frontiers": {family: numbers of points}}, as a report shows it.

    Returns:
        "file": its path. "command": what made it, see `noted_command`. "points":
        each a `hardattn.experiments.frontier.pareto.FrontierPoint` with `accuracy`, `nll` and `intervals` of
        the test images, named as in `hardattn.stopping.rules.Point`, and with `chosen`: whether it is on the
        frontier of its family.

    Raises:
        CheckpointError: the file is missing, damaged, or no frontier.
    """
    written = checkpoint.read_json(path, "a frontier", "hardattn frontier")
    points, chosen = written.get("points"), written.get("frontiers", {})
    try:
        numbers = {number for own in chosen.values() for number in own}
        named = [_named(point) | {"chosen": at in numbers} for at, point in enumerate(points)]  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(
            f"expected points with mflops and test_accuracy in {path}, found otherwise; "
            "make it with `hardattn frontier`"
        ) from None
    return {"file": str(path), "command": noted_command(written), "points": named}


def noted_command(facts: Mapping[str, Any]) -> str | None:
    """The command line that a file notes; None of a call in Python, or of an older version.

    >>> noted_command({"command": ["hardattn", "train", "--name", "my run"]})
    "hardattn train --name 'my run'"
    """
    command = facts.get("command")
    return None if command is None else shlex.join(command)


def frontiers_of(
    parents: Sequence[Sequence[Path]], given: Sequence[Path], tasks: Sequence[tuple[str, str]]
) -> list[list[dict[str, Any]]]:
    """The frontiers that go with every task, see `read_frontier`.

    They are those of `BESIDE` its runs, and of the files that were given, of which one that lies
    beside no run goes with the task that it names, or with the only one.

    Args:
        parents: of the run folders of every task.
        given: files of frontiers.
        tasks: data set and target of each.

    Raises:
        SettingsError: a file that was given goes with no task.
        CheckpointError: see `read_frontier`.
    """
    files = [[path for path in _beside(folders) if path.is_file()] for folders in parents]
    known = {path.resolve() for own in files for path in own}
    for path in given:
        if path.resolve() not in known:
            files[_task_of(path, tasks)].append(path)
    return [[read_frontier(path) for path in own] for own in files]


def _beside(folders: Sequence[Path]) -> list[Path]:
    return [folder / name for folder in dict.fromkeys(folders) for name in BESIDE]


def _task_of(path: Path, tasks: Sequence[tuple[str, str]]) -> int:
    """The number of the task that a file of a frontier is about."""
    read_frontier(path)  # refuses what is none
    about = checkpoint.read_json(path)
    named = (about.get("dataset"), about.get("target"))
    if named in tasks:
        return tasks.index(named)
    if len(tasks) > 1 or named != (None, None):
        raise SettingsError(
            f"expected a frontier of {' or '.join(map(' '.join, tasks))} in {path}, found one of "
            f"{' '.join(map(str, named))}; put it beside its runs, or leave it out"
        )
    return 0


def _named(point: dict[str, Any]) -> dict[str, Any]:
    """A point whose figures of the test images have the names of `hardattn.stopping.rules.Point`."""
    ends = [point[name] for name in ("test_low", "test_high") if name in point]
    facts = {"accuracy": float(point["test_accuracy"]), "mflops": float(point["mflops"])}
    intervals = {"accuracy": ends} if len(ends) == 2 else None
    return point | facts | {"nll": point.get("test_nll"), "intervals": intervals}
