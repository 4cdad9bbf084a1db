"""The commands that made a run folder or a frontier, told from what they left."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data.cli.options import default_run
from hardattn.baselines.training import BaselineRecipe
from hardattn.cli.train_options import LEARNED, NAMES, PLAIN
from hardattn.loading import Trained
from hardattn.objectives.methods import method_of
from hardattn.objectives.registry import METHODS
from hardattn.training import checkpoint
from hardattn.training.recipe import Recipe

FLAGS = ("batch_norm", "anneal_supervision", "first_glance")
SENSOR = ("glimpse_size", "scales", "first_glance")
WITHOUT_OPTION = ("placements", "region")  # of `data.registry.load`


def commands_of(folder: Path, run: Trained, trajectories: int) -> dict[str, Any]:
    """The commands of a run, and what of its settings no option says.

    Returns:
        "train" and "evaluate": command lines. "beyond": field -> value, of what differs from the defaults and
        can be chosen only in Python, as arguments of `hardattn.runs.train` or `data.registry.load`.
    """
    recipe, fields = _recipe_words(run)
    beyond = fields | _beyond_recipe(run)
    words = ["hardattn", "train", *_task_words(run), *_method_words(folder, run)]
    words += [*_sensor_words(run), *_option_words(run.settings.to_json()["budget"]), *recipe]
    several = [] if trajectories == 1 else ["--trajectories", str(trajectories)]
    evaluate = ["hardattn", "evaluate", str(folder), *several]
    return {"train": shlex.join(words), "evaluate": shlex.join(evaluate), "beyond": beyond}


def frontier_command(path: Path, about: Mapping[str, Any]) -> str | None:
    """The call of `hardattn frontier` that made a file, as far as it is told there; None without a data set.

    >>> about = {"dataset": "celebahq", "target": "Male", "minutes": 30.0, "seed": 1}
    >>> frontier_command(Path("runs/faces/frontier/frontier.json"), about)
    'hardattn frontier --dataset celebahq --attribute Male --run runs/faces --minutes 30 --seed 1'
    """
    if about.get("dataset") is None:
        return None
    known = {
        "dataset": about["dataset"],
        "attribute": None if about.get("target") == "label" else about.get("target"),
        "run": path.parent.parent if path.parent.name == "frontier" else None,
        "minutes": about.get("minutes"),
        "seed": about.get("seed"),
    }
    return shlex.join(["hardattn", "frontier", *_option_words(known)])


def _option_words(values: Mapping[str, Any]) -> list[str]:
    """Options with their values; None: not given."""
    given = {_option(name): _word(value) for name, value in values.items() if value is not None}
    return [word for pair in given.items() for word in pair]


def _beyond_recipe(run: Trained) -> dict[str, Any]:
    """What of data set, grid and labels no option says; of imitated sequences the grid is theirs."""
    beyond = {name: run.origin[name] for name in WITHOUT_OPTION if run.origin.get(name) is not None}
    if run.settings.to_json().get("distillation"):
        beyond["teacher"] = run.settings.to_json()["distillation"]
    if "baseline" in run.settings.to_json() or run.settings.to_json().get("supervision"):
        return beyond
    own = run.settings.geometry
    said: dict[str, Any] = {name: getattr(own, name) for name in SENSOR}
    return beyond | ({} if own == replace(run.dataset.geometry, **said) else {"geometry": own.to_json()})


def _task_words(run: Trained) -> list[str]:
    """The data set, as it was opened."""
    names = {"dataset": "name", "attribute": "attribute", "canvas": "canvas", "data_root": "data_root"}
    return _option_words({option: run.origin.get(name) for option, name in names.items()})


def _method_words(folder: Path, run: Trained) -> list[str]:
    """Method or baseline, what it imitates, its name, its seed and the folder that its own lies in."""
    words, seed = list[str](), run.settings.to_json()["seed"]
    if "baseline" in run.settings.to_json():
        words += ["--baseline", run.method]
    elif run.method != method_of(None, bool(run.settings.to_json().get("supervision"))):
        words += ["--method", run.method]
    imitation, default = _imitation_words(folder, run)
    name, parent = _name(folder, run), folder.parent
    others = {
        "name": None if name == default else name,
        "seed": seed or None,
        "run": None if parent == default_run(run.dataset) else parent,
    }
    return [*words, *imitation, *_option_words(others)]


def _name(folder: Path, run: Trained) -> str:
    """What `--name` calls the run."""
    return folder.name.removeprefix("hardattn-").removesuffix(f"-{run.settings.seed}")


def _imitation_words(folder: Path, run: Trained) -> tuple[list[str], str]:
    """The options of what a run imitates, and the name that it has without `--name`."""
    if not run.settings.to_json().get("supervision"):
        return [], run.method
    own = folder.parent / f"{METHODS[run.method].sequences}.h5"
    store, images = _imitated(folder, run, own)
    some = _option_words({"supervised_images": images})
    if store.resolve() == own.resolve():
        return ["--supervise", *some], run.method
    return ["--supervise", str(store), *some], f"{run.method}-{store.stem}"


def _imitated(folder: Path, run: Trained, own: Path) -> tuple[Path, int | None]:
    """The store that was imitated, and how many of its images were asked for.

    A run.json of an older version does not say: the store is told from the folder's name, and the number is
    that of the images themselves; it is None where one order may have stood for all.
    """
    noted = checkpoint.read_json(folder / checkpoint.RUN).get("imitated")
    if noted:
        return Path(os.path.normpath(folder.parent / noted["store"])), noted["supervised_images"]
    named, prefix = _name(folder, run), f"{run.method}-"
    beside = folder.parent / f"{named.removeprefix(prefix)}.h5"
    everyone = run.settings.to_json()["recipe"]["supervised_share"] == 1
    images = None if everyone else run.settings.to_json()["supervision"]["images"]
    return beside if named.startswith(prefix) and beside.is_file() else own, images


def _sensor_words(run: Trained) -> list[str]:
    """Glimpses that are not the data set's; a baseline has none."""
    if "baseline" in run.settings.to_json():
        return []
    own, default = run.settings.geometry, run.dataset.geometry
    steps = run.settings.to_json()["glimpses"]
    words = [] if steps == run.dataset.glimpses else _words_of("glimpses", steps)
    changed = [name for name in SENSOR if getattr(own, name) != getattr(default, name)]
    return [*words, *(word for name in changed for word in _words_of(name, getattr(own, name)))]


def _recipe_words(run: Trained) -> tuple[list[str], dict[str, Any]]:
    """The options of the recipe that are not the defaults, and the fields that have no option."""
    own, default = run.settings.to_json()["recipe"], _default_recipe(run)
    changed = {name: value for name, value in own.items() if value != default.get(name)}
    words = list[str]()
    if PLAIN.items() <= own.items() and PLAIN.keys() & changed.keys():
        words, changed = ["--no-augment"], {k: v for k, v in changed.items() if k not in PLAIN}
    known = {name: value for name, value in changed.items() if name in (*NAMES, "deviation", "rewards")}
    for name, value in known.items():
        words += _words_of(name, value)
    return words, {name: value for name, value in changed.items() if name not in known}


def _words_of(name: str, value: Any) -> list[str]:
    """The option of a setting that is not the default."""
    if name in FLAGS:
        return [_option(name)]
    if name == "rewards":
        return [
            word for reward, weight in value.items() for word in ("--reward", f"{reward}={_word(weight)}")
        ]
    if name == "deviation" and value is None:
        return ["--deviation", LEARNED]
    return [_option(name), ",".join(map(_word, value)) if isinstance(value, list) else _word(value)]


def _word(value: Any) -> str:
    """A value as an option takes it, without loss.

    >>> _word(30.0), _word(60 / 7), _word("Male")
    ('30', '8.571428571428571', 'Male')
    """
    brief = isinstance(value, float) and float(f"{value:g}") == value
    return f"{value:g}" if brief else str(value)


def _default_recipe(run: Trained) -> dict[str, Any]:
    """What `train` takes where nothing is chosen."""
    if "baseline" in run.settings.to_json():
        return asdict(BaselineRecipe(mirror=run.dataset.symmetric))
    method, dataset = METHODS[run.method], run.dataset
    needed = {name: getattr(method, name) for name in ("supervised_share", "policy")}
    chosen = {name: value for name, value in needed.items() if value is not None}
    suited = Recipe.suited(method, symmetric=dataset.symmetric, aligned=dataset.aligned, **chosen)
    return asdict(suited)


def _option(name: str) -> str:
    """
    >>> _option("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")
