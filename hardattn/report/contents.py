"""What a report shows: the figures, curves and looks of some runs, as one JSON-able dictionary.

    {"rules": {name: label}, "shown": [rules that are not left out where there are many],
     "tasks": [{"name", "dataset", "target", "classes", "mean", "images", "frontiers",
                 "runs": [{"label", "evaluation", "log", "heat", "walks", "commands", ...}]}]}

Pages and pictures are drawn from this alone, so that all of them show the same figures.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet, Split
from data.errors import SettingsError
from data.grid import Grid
from data.logs import read_log
from data.mean_image import mean_image
from data.sample import choose_images
from hardattn.evaluation import known_or_evaluated
from hardattn.loading import Trained, open_trained
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.report.choices import IMAGES
from hardattn.report.crops import crop_histograms
from hardattn.report.encoding import png_uri, without_nan
from hardattn.report.frontiers import frontiers_of, is_frontier, noted_command
from hardattn.report.looks import Looks
from hardattn.stopping.curve_files import OTHER
from hardattn.stopping.registry import RULES
from hardattn.training import checkpoint

LOGGED, TERM = ("iteration", "seconds", "nll", "accuracy"), "loss_"
PARTS = ("encoder", "combine", "core", "policy")  # of a network that takes glimpses
SHOWN = ["fixed", "gain", "act", "exit"]  # stopping rules, before a reader asks for others
WHOLE_IMAGE = "sees the whole image at once"


@dataclass
class Task:
    """Runs on the same images with the same target.

    Attributes:
        dataset: of all of them.
        folders, runs: of each.
    """

    dataset: DataSet
    folders: list[Path] = field(default_factory=list)
    runs: list[Trained] = field(default_factory=list)

    @property
    def labels(self) -> list[str]:
        """A short name of each run; where two would share it, with the folder that they lie in."""
        short = [folder.name.removeprefix("hardattn-") for folder in self.folders]
        count = Counter(short)
        where = [folder.resolve().parent.name for folder in self.folders]
        return [
            name if count[name] == 1 else f"{parent}/{name}"
            for name, parent in zip(short, where, strict=True)
        ]


def collect(
    paths: Sequence[Path], *, images: int = IMAGES, ids: Sequence[int] = (), device: str = "auto"
) -> dict[str, Any]:
    """Everything that a report on some runs shows; a run that was not evaluated yet is evaluated.

    Args:
        paths: run folders that `train` made, and files that `frontier` made; those beside a run, or in a
            folder named frontier there, need no mention.
        images: how many test images of every task are shown glimpse by glimpse: a fixed sample.
        ids: these test images instead.

    Raises:
        SettingsError: no run, no such number of images, no such image, or a frontier of another task.
        CheckpointError: a path is no run and no frontier, or damaged.
    """
    given = [path for path in paths if is_frontier(path)]
    folders = [path for path in paths if path not in given]
    if not folders:
        raise SettingsError("expected the folder of at least one run, found none; add one")
    tasks = tasks_of(folders, device)
    frontiers = frontiers_of(
        [[folder.parent for folder in task.folders] for task in tasks],
        given,
        [(task.dataset.name, task.dataset.target) for task in tasks],
    )
    shown = [rows_of(task.dataset["test"], images, ids) for task in tasks]
    described = [_describe(task, rows, device) for task, rows in zip(tasks, shown, strict=True)]
    together = [task | {"frontiers": own} for task, own in zip(described, frontiers, strict=True)]
    return without_nan({"rules": labels_of_rules(), "shown": SHOWN, "tasks": together})


def labels_of_rules() -> dict[str, str]:
    """Stopping rule -> what it is, in words."""
    return OTHER | {name: rule.label for name, rule in RULES.items()}


def tasks_of(folders: Sequence[Path], device: str) -> list[Task]:
    """The runs by their task, in the order of their folders, each once.

    Raises:
        CheckpointError: a folder is no run, or damaged.
    """
    tasks: dict[tuple[str, ...], Task] = {}
    for folder in dict.fromkeys(folders):
        run = open_trained(folder, device=device)
        key = (run.dataset.name, run.dataset.target, run.settings.fingerprint)
        task = tasks.setdefault(key, Task(run.dataset))
        task.folders.append(folder)
        task.runs.append(replace(run, dataset=task.dataset))
    return list(tasks.values())


def rows_of(split: Split, images: int, ids: Sequence[int]) -> Tensor:
    """(B,) rows of the images `ids` of a split, or of a sample of so many.

    Raises:
        SettingsError: no such image, or not so many.
    """
    every = split.ids.cpu()
    wanted = torch.tensor(list(dict.fromkeys(ids))) if ids else choose_images(split, images)
    missing = wanted[~torch.isin(wanted, every)].tolist()
    if missing:
        raise SettingsError(
            f"expected a test image, of {int(every[0])} to {int(every[-1])}, found no image {missing[0]}; "
            "choose another --image"
        )
    return torch.searchsorted(every, wanted)


def _describe(task: Task, rows: Tensor, device: str) -> dict[str, Any]:
    """A task with its runs, and the test images of `rows` (B,)."""
    dataset, split = task.dataset, task.dataset["test"]
    runs = [
        {"label": label} | _describe_run(folder, run, rows, device)
        for label, folder, run in zip(task.labels, task.folders, task.runs, strict=True)
    ]
    return {
        "name": dataset.name if dataset.target == "label" else f"{dataset.name}, {dataset.target}",
        "dataset": dataset.name,
        "target": dataset.target,
        "classes": list(dataset.classes),
        "size": {"height": dataset.geometry.height, "width": dataset.geometry.width},
        "mean": png_uri(mean_image(split)),
        "images": [
            {
                "id": int(split.ids[row]),
                "class": int(split.labels[row]),
                "picture": png_uri(split.images[row].cpu().numpy()),
            }
            for row in rows.tolist()
        ],
        "runs": runs,
    }


def _describe_run(folder: Path, run: Trained, rows: Tensor, device: str) -> dict[str, Any]:
    """A run: its figures, its log, the commands that made it, and where it looks."""
    evaluation = known_or_evaluated(folder, dataset=run.dataset, device=device)
    log = [{name: line[name] for name in LOGGED} | _terms(line) for line in read_log(folder / checkpoint.LOG)]
    return {
        "folder": str(folder),
        "method": run.method,
        "summary": METHODS[run.method].summary if run.method in METHODS else WHOLE_IMAGE,
        "evaluation": evaluation,
        "log": log,
        "commands": commands_of(folder, evaluation.get("trajectories", 1)),
        "supervised_images": _supervised_images(run),
        **_looks(run, rows),
    }


def _supervised_images(run: Trained) -> int:
    """How many images have sequences that a run imitates."""
    supervision = getattr(run.settings, "supervision", None)
    return supervision.images if supervision else 0


def _terms(line: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The weighted terms of the loss in a line of the log, which has none before the first iteration.

    >>> _terms({"iteration": 100, "nll": 0.5, "loss_act": 0.25})
    {'terms': {'act': 0.25}}
    """
    return {"terms": {name.removeprefix(TERM): line[name] for name in line if name.startswith(TERM)}}


def commands_of(folder: Path, trajectories: int = 1) -> dict[str, str | None]:
    """The command lines of a run: "train", None where none is noted, and "evaluate", of its figures."""
    several = [] if trajectories == 1 else ["--trajectories", str(trajectories)]
    evaluate = shlex.join(["hardattn", "evaluate", str(folder), *several])
    return {"train": noted_command(checkpoint.read_json(folder / checkpoint.RUN)), "evaluate": evaluate}


def parts_of(grid: Grid) -> list[dict[str, Any]]:
    """Of every side its rows and columns, and from which number on its places are in a map.

    >>> from data.grid import LocationGrid
    >>> parts_of(LocationGrid.evenly((6, 8), 4, 2))
    [{'side': 4, 'rows': [0, 2], 'cols': [0, 4], 'start': 0}]
    """
    starts = accumulate((len(part) for part in grid.parts), initial=0)
    return [
        {"side": part.glimpse_size, "rows": list(part.rows), "cols": list(part.cols), "start": start}
        for part, start in zip(grid.parts, starts, strict=False)
    ]


def _looks(run: Trained, rows: Tensor) -> dict[str, Any]:
    """Heat maps, and walks through the images of `rows`; nothing of a network that sees whole images."""
    if not isinstance(run.network, HardAttention):
        return {"sensor": None, "network": None, "map": None, "heat": [], "walks": [], "crops": []}
    geometry, looks = run.settings.geometry, Looks.of(run, run.network)
    grid = geometry.grid()
    sensor = {
        "glimpse_size": geometry.glimpse_size,
        "scales": geometry.scales,
        "rows": list(grid.parts[0].rows),
        "cols": list(grid.parts[0].cols),
        "parts": parts_of(grid),
    }
    head, walks = run.network.policy_head, [looks.walk(row) for row in rows.tolist()]
    drawn = looks.chosen and not head.differentiable
    kind = ("epe" if head.predicts_gain else "policy") if drawn else None
    crops = crop_histograms(looks.locations, geometry)
    network = {part: getattr(run.settings.recipe, part) for part in PARTS}
    return {
        "sensor": sensor,
        "network": network,
        "map": kind,
        "heat": looks.heat(),
        "walks": walks,
        "crops": crops,
    }
