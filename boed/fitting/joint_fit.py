"""`boed fit --attribute all`: one q for many attributes of the same images, and from it the parts of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from boed.approximations import Approximations
from boed.combination import Combination, require_sensor
from boed.estimators.bank import Bank
from boed.fitting.fit import (
    LEVELS,
    complete,
    finish,
    fit,
    fitting,
    learn,
    of_split,
    require_settings,
    seeded_apart,
)
from boed.fitting.fit_log import fit_followed
from boed.fitting.posterior_fit import STATES
from boed.part_files import POSTERIOR
from boed.search.prediction import of_attribute
from boed.settings import FitSettings, FittedSettings
from data.dataset import DataSet
from data.errors import SettingsError
from data.files import write_atomically
from data.geometry import Geometry
from data.owner import owned
from data.tracking.registry import require_tracker
from data.tracking.tracker import Tracker

PLACES, WIDTH, ITERATIONS = 100, 192, 10_000  # of many attributes, where one has 60, 96 and 4,000

UnseenBy = Callable[[Approximations], tuple[Bank, str] | None]
"""See `boed.fitting.parts.Unseen`, with labels of all attributes; for those of one."""


def fit_jointly(
    dataset: DataSet,
    folder: Path,
    folder_of: Callable[[str], Path],
    *,
    device: torch.device | str = "cpu",
    geometry: Geometry | None = None,
    combination: Combination | None = None,
    tracker: Tracker | str | None = None,
    **chosen: Any,
) -> dict[str, Approximations]:
    """Learns one q with a head for each attribute, and from it the approximations of every attribute.

    The network that embeds glimpses, the codebook and the bank are common to all attributes; the head, its
    temperatures and the weights of the design are each attribute's own. So forty attributes cost little more
    than a longer training of one, and each attribute has a folder like that of `boed.fitting.fit.fit`, which
    `boed generate` takes. What is there already is not learned again.

    Args:
        dataset: with several attributes; its training and valid splits are used, see `boed.fitting.fit.fit`.
        folder: for what all attributes share.
        folder_of: attribute -> folder for its approximations.
        device, geometry, combination, tracker: see `boed.fitting.fit.fit`.
        chosen: fields of `FitSettings`. Defaults are 100 places, width 192 and 10,000 iterations.

    Raises:
        CheckpointError: a folder holds approximations with other settings (both values are shown).
        SettingsError: an impossible setting, one attribute only, or an exact part.
    """
    require_tracker(tracker)
    combination = combination or Combination()
    _require_attributes(dataset, combination)
    defaults = {"glimpses": dataset.glimpses, "places": PLACES, "width": WIDTH, "iterations": ITERATIONS}
    settings = FitSettings(**{**defaults, **chosen})
    if settings.balanced:
        raise SettingsError(
            f"expected one attribute for balanced classes, found {len(dataset.attributes)}; fit each alone"
        )
    require_sensor(combination, geometry or dataset.geometry, settings.glimpses)
    fixed: dict[str, Any] = {
        "posterior": combination.posterior,
        "dataset": dataset.name,
        "target": dataset.target,
    }
    for name in dataset.attributes:  # before anything is learned
        if (folder_of(name) / POSTERIOR).exists():
            asked = fixed | {"target": name, "together": dataset.target} | chosen
            require_settings(folder_of(name), asked, geometry)
    with owned(folder, "another fit", wait=True), seeded_apart():
        if (folder / POSTERIOR).exists():
            require_settings(folder, fixed | chosen, geometry)
            shared = Approximations.load(folder, dataset, device)
        else:
            asked_all = FittedSettings(**asdict(settings), **fixed)
            with fit_followed(tracker, folder, asked_all.to_json):
                shared = learn(dataset, folder, asked_all, geometry or dataset.geometry, device)
            shared.save_posterior(folder)
        for state in STATES:
            (folder / state).unlink(missing_ok=True)
        unseen = _embedded_once(dataset)
        return {
            name: _of_attribute(
                shared, number, dataset.only(name), folder, folder_of(name), combination, unseen, tracker
            )
            for number, name in enumerate(dataset.attributes)
        }


def _embedded_once(dataset: DataSet) -> UnseenBy:
    """Opens unseen images for the first attribute that asks: as many as its maps allow, as all others' do."""
    kept = list[tuple[Bank, str] | None]()

    def opened(learned: Approximations) -> tuple[Bank, str] | None:
        if not kept:
            kept.append(of_split(learned, dataset)())
        return kept[0]

    return opened


def _of_attribute(
    shared: Approximations,
    number: int,
    dataset: DataSet,
    folder: Path,
    own: Path,
    combination: Combination,
    unseen: UnseenBy,
    tracker: Tracker | str | None,
) -> Approximations:
    """The approximations of one attribute; what a completion has learned of the images is common to all."""
    if (own / POSTERIOR).exists():
        _share_completions(folder, own)
        learned = fit(dataset, own, device=shared.places.device, combination=combination, tracker=tracker)
    else:
        learned = shared.of_attribute(number, dataset.target)
        with fitting(own, combination), fit_followed(tracker, own, learned.settings.to_json):
            finish(learned, own)
            _share_completions(folder, own)
            complete(learned, combination, dataset, own, lambda: _labelled(unseen(learned), learned, dataset))
    _share_completions(own, folder)
    return learned


def _share_completions(known: Path, to: Path) -> None:
    """Copies what completions have learned to a folder that has not got it yet."""
    for part in known.glob("completion-*.safetensors"):
        if not (to / part.name).exists():
            write_atomically(to / part.name, partial(shutil.copyfile, part))


def _labelled(
    others: tuple[Bank, str] | None, learned: Approximations, dataset: DataSet
) -> tuple[Bank, str] | None:
    """Unseen images with the labels of one attribute."""
    return others and (of_attribute(others[0], learned, dataset[LEVELS]), others[1])


def _require_attributes(dataset: DataSet, combination: Combination) -> None:
    if len(dataset.attributes) < 2:
        raise SettingsError(
            f"expected at least two attributes, found {dataset.target}; name more, or fit it alone"
        )
    if combination.exact:
        raise SettingsError("expected parts that are learned, found exact; leave --posterior exact out")
