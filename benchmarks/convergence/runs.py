"""The trainings behind `benchmarks.convergence`: designs, networks and what they predict of test images."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.looking import look_at_test
from boed.approximations import Approximations
from boed.fitting.joint_fit import fit_jointly
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.dataset import DataSet
from data.device import choose_device
from data.files import write_json
from data.logs import read_log
from hardattn.experiments.reproduce.settings import read_table, slug
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.convergence import CONVERGED_WITHIN, Log, convergence, kept_line
from hardattn.training.settings import read_run
from supervision.store import SequenceStore

SETTINGS = Path(__file__).with_name("convergence.toml")
PUBLISHED = "nogs-celebahq"  # the table of `hardattn reproduce` that has the published errors
IMAGES = 600  # with sequences, as published
RIGHT, FIT = "right.json", "fit.json"
LEARNED = "learned"  # a deviation that is, which a file cannot say by None
Say = Callable[[str], None]


def read_settings(path: Path = SETTINGS) -> dict[str, Any]:
    """What convergence.toml says."""
    return tomllib.loads(path.read_text())


def settings_of(search: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of each setting of a search -> its recipe: what it says, and else what all say.

    >>> one = {"name": "a", "dropout": 0.1}
    >>> settings_of({"recipe": {"deviation": "learned", "dropout": 0.0}, "settings": [one]})
    {'a': {'deviation': None, 'dropout': 0.1}}
    """
    return {
        one["name"]: _recipe({**search["recipe"], **{k: v for k, v in one.items() if k != "name"}})
        for one in search["settings"]
    }


def _recipe(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value == LEARNED else value for name, value in said.items()}


def published(row: str, attribute: str) -> float | None:
    """The published error in % of a row of the published table for an attribute; None where none is known."""
    rows = {one["name"]: one for one in read_table(PUBLISHED)["rows"]}
    figures: Mapping[str, float] = rows.get(row, {}).get("published_error_percent", {})
    return figures.get(attribute)


@dataclass(frozen=True)
class Work:
    """What all trainings share.

    Attributes:
        dataset: with the labels of several attributes.
        folder: of everything.
        settings: from `read_settings`.
        device: to fit and train on.
        say: is told what begins.
    """

    dataset: DataSet
    folder: Path
    settings: Mapping[str, Any]
    device: str = "cpu"
    say: Say = print

    def row(self, row: Mapping[str, Any], attribute: str, seed: int) -> dict[str, Any]:
        """The figures of one training, which is done if it was not; test images are looked at once."""
        run = self._trained(row, attribute, seed)
        log = list(read_log(run / checkpoint.LOG))
        found = self._right(run, attribute)
        return {
            "method": row["name"],
            "attribute": attribute,
            "seed": seed,
            "error_percent": 100 * (1 - float(found.mean())),
            "published_error_percent": published(row.get("published", ""), attribute),
            "validation_error_percent": 100 * (1 - kept_line(log, "nll")["accuracy"]),
            "batch_size": read_run(run).settings["recipe"]["batch_size"],
            **curve_figures(log),
            "made_in": self._made_in(row, attribute),
        }

    def is_done(self, row: Mapping[str, Any], attribute: str, seed: int) -> bool:
        """Whether a training and its look at the test images are."""
        return (self._run(row["name"], attribute, seed) / RIGHT).exists()

    def log(self, row: Mapping[str, Any], attribute: str, seed: int) -> Log:
        """The checks of a training that is done."""
        return list(read_log(self._run(row["name"], attribute, seed) / checkpoint.LOG))

    def right(self, row: Mapping[str, Any], attribute: str, seed: int) -> np.ndarray:
        """(N,) bool, whether the prediction after the last glimpse is right, of a training that is done."""
        return self._right(self._run(row["name"], attribute, seed), attribute)

    def tried(self, name: str, recipe: Mapping[str, Any], attribute: str) -> dict[str, Any]:
        """The validation figures of a setting of the search; no test image is looked at."""
        search = self.settings["search"]
        run = self._run(f"search {name}", attribute, search["seed"])
        options = {"method": search["method"], "seed": search["seed"], **recipe}
        self._train(run, attribute, Budget(epochs=search["epochs"]), options)
        log = list(read_log(run / checkpoint.LOG))
        best = kept_line(log, "nll")
        error = 100 * (1 - best["accuracy"])
        kept = {"setting": name, "attribute": attribute, "seed": search["seed"]}
        return kept | {"validation_error_percent": error, **curve_figures(log)}

    def store(self, source: str, attribute: str) -> SequenceStore:
        """Sequences of a source for design images; what was not fitted is fitted, all attributes together."""
        own = self.folder / "designs" / attribute
        path = own / f"sequences-{source}.h5"
        if path.exists() and bool(SequenceStore.read(path).done.all()):
            return SequenceStore.read(path)
        learned = self._fits[attribute]
        self.say(f"{source} of {attribute}")
        one, glimpses = self.dataset.only(attribute), self.settings["glimpses"]
        return store_designs(path, Designer(learned), one, glimpses=glimpses, images=IMAGES, source=source)

    @cached_property
    def _fits(self) -> dict[str, Approximations]:
        """Of all attributes."""
        start, designs, fit = time.perf_counter(), self.folder / "designs", dict(self.settings["fit"])
        fit |= {"glimpses": self.settings["glimpses"], "device": choose_device(self.device)}
        self.say("fit of all attributes together")
        learned = fit_jointly(
            self.dataset, designs / "approximations", lambda name: designs / name / "approximations", **fit
        )
        if not (designs / FIT).exists():
            write_json(designs / FIT, {"seconds": time.perf_counter() - start})
        return learned

    def _made_in(self, row: Mapping[str, Any], attribute: str) -> float:
        """Seconds of an attribute's share in the fit and of its designs; 0 where nothing is imitated."""
        if "sequences" not in row:
            return 0.0
        fit = float(json.loads((self.folder / "designs" / FIT).read_text())["seconds"])
        seconds = self.store(row["sequences"], attribute).seconds
        return fit / len(self.dataset.attributes) + seconds

    def _run(self, name: str, attribute: str, seed: int) -> Path:
        return self.folder / f"{slug(f'{name} {attribute}')}-{seed}"

    def _trained(self, row: Mapping[str, Any], attribute: str, seed: int) -> Path:
        run = self._run(row["name"], attribute, seed)
        options: dict[str, Any] = {"method": row["method"], "seed": seed}
        if "sequences" in row:
            options["store"] = self.store(row["sequences"], attribute)
        if "setting" in row:
            options |= settings_of(self.settings["search"])[row["setting"]]
        budget = Budget(epochs=row["epochs"], patience=row["patience"])
        return self._train(run, attribute, budget, options)

    def _train(self, run: Path, attribute: str, budget: Budget, options: Mapping[str, Any]) -> Path:
        self.say(run.name)
        one, glimpses = self.dataset.only(attribute), self.settings["glimpses"]
        return train(one, run, budget=budget, glimpses=glimpses, device=self.device, **options)

    def _right(self, run: Path, attribute: str) -> np.ndarray:
        path = run / RIGHT
        if not path.exists():
            _, images, looks = look_at_test(run, dataset=self.dataset.only(attribute), device=self.device)
            guessed = looks.predictions.log_probs[:, -1].argmax(1)
            write_json(path, (guessed == images.labels.cpu()).int().tolist())
        return np.array(json.loads(path.read_text()), dtype=bool)


def curve_figures(log: Log) -> dict[str, Any]:
    """Length, best validation NLL and when it converged by its own best, of the checks of a training.

    >>> checks = ((0, 0.7), (100, 0.309), (200, 0.3), (300, 0.32))
    >>> curve_figures([{"iteration": i, "seconds": i / 10, "nll": nll} for i, nll in checks])["converged_at"]
    100
    """
    iteration, seconds = convergence(log)
    return {
        "iterations": log[-1]["iteration"],
        "seconds": log[-1]["seconds"],
        "best_nll": kept_line(log, "nll")["nll"],
        "converged_at": iteration,
        "converged_seconds": seconds,
    }


def as_good(log: Log, best: float) -> Mapping[str, Any] | None:
    """The first check that is within .01 nats of another training's best; None where there is none.

    >>> log = [{"iteration": 0, "nll": 0.7}, {"iteration": 100, "nll": 0.305}]
    >>> as_good(log, 0.3)["iteration"], as_good(log, 0.2)
    (100, None)
    """
    return next((line for line in log if line["nll"] <= best + CONVERGED_WITHIN), None)


def in_order(attributes: Sequence[str], seeds: int, rows: Sequence[Any]) -> list[tuple[Any, str, int]]:
    """All trainings: the first seed of everything, then the next.

    >>> in_order(["a", "b"], 2, ["row"])
    [('row', 'a', 0), ('row', 'b', 0), ('row', 'a', 1), ('row', 'b', 1)]
    """
    return [(row, name, seed) for seed in range(seeds) for name in attributes for row in rows]
