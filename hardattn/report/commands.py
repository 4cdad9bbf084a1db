"""The commands that made a run folder, told from its settings."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.geometry import Geometry
from data.options import default_run
from hardattn.baselines.training import BaselineRecipe
from hardattn.commands.train_options import LEARNED, NAMES, PLAIN
from hardattn.methods import METHODS, method_of
from hardattn.recipe import Recipe
from hardattn.trained import Trained

FLAGS = ("batch_norm", "anneal_supervision")


def commands_of(folder: Path, run: Trained, trajectories: int) -> dict[str, Any]:
    """The commands of a run, and what of its settings no option says.

    Returns:
        "train" and "evaluate": command lines. "beyond": field -> value, of what differs from the defaults and
        can be chosen only in Python, as arguments of `hardattn.train.train`.
    """
    recipe, beyond = _recipe_words(run)
    if run.settings.get("distillation"):
        beyond["teacher"] = run.settings["distillation"]
    words = ["hardattn", "train", *_task_words(run), *_method_words(folder, run)]
    words += [*_sensor_words(run), *_budget_words(run.settings["budget"]), *recipe]
    several = [] if trajectories == 1 else ["--trajectories", str(trajectories)]
    evaluate = ["hardattn", "evaluate", str(folder), *several]
    return {"train": shlex.join(words), "evaluate": shlex.join(evaluate), "beyond": beyond}


def _task_words(run: Trained) -> list[str]:
    """The data set, as it was opened."""
    names = {"dataset": "name", "attribute": "attribute", "canvas": "canvas", "data_root": "data_root"}
    opened = {_option(option): run.origin.get(name) for option, name in names.items()}
    return [word for option, value in opened.items() if value is not None for word in (option, str(value))]


def _method_words(folder: Path, run: Trained) -> list[str]:
    """Method or baseline, what it imitates, its seed and its folder, whose name may tell more."""
    words, seed = list[str](), run.settings["seed"]
    supervised = bool(run.settings.get("supervision"))
    if "baseline" in run.settings:
        words += ["--baseline", run.method]
    elif run.method != method_of(None, supervised):
        words += ["--method", run.method]
    name = folder.name.removeprefix("hardattn-").removesuffix(f"-{seed}")
    store = folder.parent / f"{name.removeprefix(f'{run.method}-')}.h5"
    other = supervised and name.startswith(f"{run.method}-") and store.is_file()
    words += ["--supervise", *([str(store)] if other else [])] if supervised else []
    words += [] if other or name == run.method else ["--name", name]
    words += ["--seed", str(seed)] if seed else []
    return words + ([] if folder.parent == default_run(run.dataset) else ["--run", str(folder.parent)])


def _sensor_words(run: Trained) -> list[str]:
    """Glimpses that are not the data set's; a baseline has none."""
    if "baseline" in run.settings:
        return []
    own, default = Geometry(**run.settings["geometry"]), run.dataset.geometry
    values = {name: getattr(own, name) for name in ("glimpse_size", "scales")}
    changed = {name: value for name, value in values.items() if value != getattr(default, name)}
    if run.settings["glimpses"] != run.dataset.glimpses:
        changed = {"glimpses": run.settings["glimpses"]} | changed
    return [word for name, value in changed.items() for word in (_option(name), str(value))]


def _budget_words(budget: dict[str, Any]) -> list[str]:
    given = {name: value for name, value in budget.items() if value is not None}
    return [word for name, value in given.items() for word in (_option(name), f"{value:g}")]


def _recipe_words(run: Trained) -> tuple[list[str], dict[str, Any]]:
    """The options of the recipe that are not the defaults, and the fields that have no option."""
    own, default = run.settings["recipe"], _default_recipe(run)
    changed = {name: value for name, value in own.items() if value != default.get(name)}
    words = list[str]()
    if PLAIN.items() <= own.items() and PLAIN.keys() & changed.keys():
        words, changed = ["--no-augment"], {k: v for k, v in changed.items() if k not in PLAIN}
    known = {name: value for name, value in changed.items() if name in (*NAMES, "deviation", "rewards")}
    for name, value in known.items():
        words += _recipe_option(name, value)
    return words, {name: value for name, value in changed.items() if name not in known}


def _recipe_option(name: str, value: Any) -> list[str]:
    if name in FLAGS:
        return [_option(name)]
    if name == "rewards":
        return [word for reward, weight in value.items() for word in ("--reward", f"{reward}={weight:g}")]
    if name == "deviation" and value is None:
        return ["--deviation", LEARNED]
    return [_option(name), ",".join(map(_word, value)) if isinstance(value, list) else _word(value)]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _default_recipe(run: Trained) -> dict[str, Any]:
    """What `train` takes where nothing is chosen."""
    if "baseline" in run.settings:
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
