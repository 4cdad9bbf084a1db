"""The experiments behind figures of the documentation, and the code that each depends on.

A command names its data as DATA/NAME, a folder for each data set in one folder of all, and what it keeps as
RUN, a folder of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DATA, RUN = "DATA", "RUN"
THEN = " && "


@dataclass(frozen=True)
class Experiment:
    """What makes a file of results.

    Attributes:
        command: which prints it with `--json`, and takes up what was interrupted.
        depends: packages and modules without which its figures would be others.
        parts: words of `--row`, of an experiment of which only these parts are run.
        before: commands that make what it prints.
    """

    command: str
    depends: tuple[str, ...]
    parts: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """All commands, as a reader would type them.

        >>> Experiment("boed fit --run RUN", ()).told
        'boed fit'
        """
        return THEN.join([*self.before, self.command]).replace(f" --run {RUN}", "")


def words(command: str, data: Path, run: Path) -> list[str]:
    """Arguments for Python, with the data sets and what is kept in folders.

    >>> words("hardattn reproduce rewards --data-root DATA/mnist --run RUN", Path("all"), Path("kept"))
    ['-m', 'hardattn', 'reproduce', 'rewards', '--data-root', 'all/mnist', '--run', 'kept']
    """
    folders = {DATA: data, RUN: run}
    placed = re.sub(rf"\b({DATA}|{RUN})(?=/|\s|$)", lambda match: str(folders[match[1]]), command)
    return ["-m", *placed.removeprefix("python -m ").split()]


_TRAINING = (
    "hardattn.model",
    "hardattn.objectives",
    "hardattn.training.learner",
    "hardattn.training.trainer",
    "hardattn.training.recipe",
)
_DESIGN = ("boed.search", "boed.estimators", "boed.completions", "boed.posteriors", "boed.fitting")
_MEASURED = (
    "hardattn.evaluation",
    "hardattn.stopping",
    "data.readout",
    "data.measures",
    "benchmarks.intervals",
)
_FRONTIER = (
    *("hardattn.experiments.frontier", "hardattn.experiments.row_sequences", "hardattn.baselines"),
    *("benchmarks.frontiers", *_DESIGN, *_TRAINING, *_MEASURED),
)
_JUDGES = ("boed.comparison", "boed.calibration", "data.placing", "data.measures", "benchmarks.intervals")
_FACES = ("Male", "Mouth_Slightly_Open", "Smiling")
_TERMS = "--seeds 3 --iterations 2000 --patience 5 --learning-rates 0.003,0.01"
_JUDGED = {
    "translated-mnist": "DATA/mnist",
    "cluttered-mnist": "DATA/mnist",
    "celebahq": "DATA/celebahq",
    "scenes": "DATA/places",
    "flowers": "DATA/flowers",
    "birds": "DATA/cub",
}

_FEWER = {"translated-mnist": 1}  # seeds than three


def _frontier(dataset: str, name: str) -> str:
    return f"hardattn frontier --dataset {dataset} {_TERMS} --run RUN/{name}"


def _short(options: str, up_to: int = 3) -> Experiment:
    """One seed of a part of the networks."""
    return Experiment(
        f"python -m benchmarks.frontiers RUN/frontier/frontier.json --up-to {up_to}",
        _FRONTIER,
        before=(f"hardattn frontier --dataset {options} --run RUN",),
    )


def _judging(name: str, root: str) -> Experiment:
    seeds = f" --seeds {_FEWER[name]}" if name in _FEWER else ""
    command = f"python -m benchmarks.judging {name}{seeds} --data-root {root} --run RUN"
    return Experiment(command, (*_DESIGN, *_JUDGES, "benchmarks.judging"))


EXPERIMENTS = {
    "recurrent-glimpsenet": Experiment(
        "hardattn reproduce recurrent-glimpsenet --seeds 3 --minutes 120 --data-root DATA/mnist --run RUN",
        ("hardattn.experiments.reproduce", *_TRAINING, "data.crop"),
    ),
    "case-study": Experiment(
        "hardattn reproduce case-study --seeds 1 --minutes 105 --data-root DATA/mnist --run RUN",
        ("hardattn.experiments.reproduce", *_TRAINING, "boed.search"),
        parts=(
            *("convolutions", "REINFORCE", "translated, 6 of 8 x 8, 1", "translated, 6 of 8 x 8, 2"),
            *(
                "translated, 6 of 12",
                "translated, 8 of 12",
                "translated, 6 of 16",
                "cluttered, 6 of 12 x 12, 3",
            ),
        ),
    ),
    "convergence": Experiment(
        "python -m benchmarks.convergence --seeds 1 --data-root DATA/celebahq --run RUN",
        (*_TRAINING, *_DESIGN, *_MEASURED, "hardattn.training.convergence", "benchmarks.convergence"),
    ),
    "reinforce-search": Experiment(
        "python -m benchmarks.convergence --search --data-root DATA/celebahq --run RUN",
        (*_TRAINING, "benchmarks.convergence"),
    ),
    "stopping": Experiment(
        "python -m benchmarks.stopping --epochs 8 --data-root DATA/celebahq --run RUN",
        (*_TRAINING, *_DESIGN, *_MEASURED, "benchmarks.stopping"),
    ),
    "frontier-male-short": _short(
        "celebahq --attribute Male --data-root DATA/celebahq --grid benchmarks/grids/faces-short.toml "
        "--iterations 2000 --patience 4 --learning-rates 0.003,0.01"
    ),
    "frontier-clutter-short": _short(
        "cluttered-mnist --canvas 60 --data-root DATA/mnist --grid benchmarks/grids/clutter-short.toml "
        "--iterations 1000 --patience 3 --learning-rates 0.01,0.03",
        up_to=10,
    ),
    "frontier-clutter": Experiment(
        "python -m benchmarks.frontiers RUN/clutter/frontier/frontier.json --up-to 10",
        _FRONTIER,
        before=(_frontier("cluttered-mnist --canvas 60 --canvas-seed 1 --data-root DATA/mnist", "clutter"),),
    ),
    "frontier-faces": Experiment(
        f"python -m benchmarks.frontiers {' '.join(f'RUN/{name}/frontier/frontier.json' for name in _FACES)}",
        _FRONTIER,
        before=tuple(
            _frontier(f"celebahq --attribute {name} --data-root DATA/celebahq", name) for name in _FACES
        ),
    ),
    "frontier-scenes": Experiment(
        "python -m benchmarks.frontiers RUN/scenes/frontier/frontier.json",
        _FRONTIER,
        before=(_frontier("folder --data-root DATA/places --grid benchmarks/grids/scenes.toml", "scenes"),),
    ),
    "judging-finite": Experiment(
        "python -m benchmarks.judging finite --run RUN",
        (*_DESIGN, *_JUDGES, "boed.benchmark", "benchmarks.judging"),
    ),
    **{f"judging-{name}": _judging(name, root) for name, root in _JUDGED.items()},
    "demo": Experiment(
        "python -m benchmarks.demo",
        ("boed.fitting", "boed.search", *_TRAINING, "data.digits", "benchmarks.demo"),
    ),
    "train-speed": Experiment(
        "python -m benchmarks.train_speed --compile",
        ("benchmarks.train_speed", "benchmarks.train_speed.ram_loop", *_TRAINING, "data.pool"),
    ),
    "large": Experiment(
        "python -m benchmarks.large",
        ("benchmarks.large", "benchmarks.large.files", "boed.search", "boed.estimators"),
    ),
}
