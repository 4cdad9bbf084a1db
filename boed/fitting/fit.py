"""`boed fit`: learns the approximations of a task from its training split.

1. A closed-form map of informative places gives the codebook of candidates (`boed.search.proposal`).
2. q is trained on 72 % of the training images: for half of the iterations at places drawn by that map, for
   the other half on the histories that a first design produces (on-policy), followed by arbitrary places.
3. On the remaining 28 %, at most 8,000 images, which are the bank and which q has never seen, q is calibrated
   by one temperature per t.
4. The other parts of the combination are learned: completion, estimator, weights of an image's own map.
5. The level of what is predicted is set right on the valid split (`boed.search.levels`).

With `balanced` classes all these samples are of as many images of each class (`boed.search.balance`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from boed.approximations import Approximations
from boed.combination import Combination, require_sensor
from boed.enumeration.task import require_enumerable
from boed.estimators.bank import Bank
from boed.fitting.augmentation import Augmentation
from boed.fitting.fit_log import fit_followed
from boed.fitting.parts import Unseen, add_parts, nothing_learned
from boed.fitting.posterior_fit import STATES, calibrate, learn_posterior
from boed.part_files import COMBINATION, PART_STATES, PARTS, POSTERIOR, files_of, states_of
from boed.posteriors.registry import POSTERIORS
from boed.saved import TaskFacts, read_posterior, saved_combination, saved_geometry, saved_settings
from boed.search.balance import balanced, require_every_class
from boed.search.codebook import codebook, partition
from boed.search.prediction import embedded
from boed.settings import FEWEST_ITERATIONS, MOST_ITERATIONS, FitSettings, FittedSettings
from boed.simulation import ImageModel, task_of
from data.dataset import DataSet
from data.device import at_device, choose_device, one_thread
from data.errors import CheckpointError, NoImagesError, SettingsError
from data.files import write_json
from data.geometry import Geometry
from data.owner import LOCK, owned
from data.places import whole_image
from data.tracking.registry import require_tracker
from data.tracking.tracker import Tracker

LEVELS = "valid"  # the split that sets the level of what is predicted


def fit(
    dataset: DataSet | ImageModel,
    folder: Path | str | None = None,
    *,
    device: torch.device | str = "auto",
    geometry: Geometry | None = None,
    combination: Combination | None = None,
    tracker: Tracker | str | None = None,
    **chosen: Any,
) -> Approximations:
    """Learns the approximations of a task; into `folder` if there is one, and what is there is loaded.

    Args:
        dataset: its training split is used, and the valid split, if it has one, for the level of what is
            predicted. Or a Pyro model of images with labels, which stands for the draws that
            `boed.simulated(model, seed=seed)` gives.
        folder: for the approximations of one posterior, and the state of an interrupted fit. None: nothing
            is kept, and an interrupted fit is lost; see `Approximations.save`.
        device: where it computes.
        geometry: sensor and grid; default what `folder` was fitted with, else the data set's.
        combination: parts that a design needs; default `Combination()`.
        tracker: is told the losses, see `boed.fitting.fit_log`: a name of `data.tracking.registry.TRACKERS`,
            which keeps the run in `folder`, or an object.
        chosen: fields of `FitSettings`; the others take their defaults, or what `folder` was fitted with.

    Raises:
        CheckpointError: the folder holds approximations with other settings (both values are shown).
        SettingsError: an impossible setting.
    """
    dataset = task_of(dataset, seed=chosen.get("seed", 0))
    require_tracker(tracker, kept=folder is not None)
    if folder is None:
        with TemporaryDirectory() as kept:
            return _fit(dataset, Path(kept), device, geometry, combination or Combination(), chosen, tracker)
    return _fit(dataset, Path(folder), device, geometry, combination or Combination(), chosen, tracker)


def load(
    folder: Path | str,
    dataset: DataSet | None = None,
    *,
    combination: Combination | None = None,
    device: torch.device | str = "auto",
) -> Approximations:
    """The approximations that `fit` or `Approximations.save` wrote; nothing is learned.

    Args:
        folder: of the approximations.
        dataset: that they were fitted on; without it, it is opened as it was then. Of a data set that was
            made from arrays the folder has all that is needed.
        combination: parts that a design needs; default those of the last fit.
        device: where to compute.

    Raises:
        CheckpointError: missing, damaged or fitted on other images, or a part was not fitted.
    """
    folder = Path(folder)
    combination = combination or _last_combination(folder)
    with seeded_apart():
        learned = Approximations.load(folder, dataset, _device(device))
        add_parts(learned, combination, nothing_learned(folder), folder)
    return learned


def _last_combination(folder: Path) -> Combination:
    """That of the last fit; of a folder that does not say, the default with its posterior."""
    path = folder / COMBINATION
    if path.exists():
        return saved_combination(path)
    about = read_posterior(folder)[1]
    return Combination(posterior=saved_settings(folder / POSTERIOR, about).posterior)


def _fit(
    dataset: DataSet,
    folder: Path,
    device: torch.device | str,
    geometry: Geometry | None,
    combination: Combination,
    chosen: dict[str, Any],
    tracker: Tracker | str | None,
) -> Approximations:
    """See `fit`."""
    place = _device(device)
    defaults = {"glimpses": dataset.glimpses}
    if not (folder / POSTERIOR).exists() and "iterations" not in chosen:
        defaults["iterations"] = min(MOST_ITERATIONS, max(FEWEST_ITERATIONS, len(dataset["train"]) // 5))
    known = [field.name for field in fields(FitSettings)]
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise SettingsError(f"expected settings of {', '.join(known)}; found {', '.join(unknown)}")
    settings = FitSettings(**{**defaults, **chosen})
    if combination.exact:
        require_enumerable(dataset.name)
        if settings.balanced:
            raise SettingsError(
                "expected a posterior that is learned for balanced classes, found exact; leave one out"
            )
    (geometry or dataset.geometry).grid()  # refuses a glimpse larger than the image
    require_sensor(combination, geometry or dataset.geometry, settings.glimpses)
    fixed: dict[str, Any] = {
        "posterior": combination.posterior,
        "dataset": dataset.name,
        "target": dataset.target,
    }
    about = {"combination": asdict(combination)} | asdict(settings) | fixed
    with (
        fitting(folder, combination),
        seeded_apart(),
        fit_followed(tracker, folder, lambda: about),
    ):
        if (folder / POSTERIOR).exists():
            require_settings(folder, fixed | chosen, geometry)
            learned = Approximations.load(folder, dataset, place)
        else:
            asked = FittedSettings(**asdict(settings), **fixed)
            learned = learn(dataset, folder, asked, geometry or dataset.geometry, place)
            finish(learned, folder)
        complete(learned, combination, dataset, folder)
        for name in (*STATES, *states_of(combination)):
            (folder / name).unlink(missing_ok=True)
    return learned


@contextmanager
def fitting(folder: Path, combination: Combination) -> Iterator[None]:
    """Holds the folder of a fit while parts of a combination are missing there.

    Whoever finds it taken waits, and then has what the other has learned. Settings that turn out impossible
    leave no folder that was not there before.
    """
    if all((folder / name).exists() for name in (*files_of(combination), COMBINATION)):
        yield
        return
    made = not folder.exists()
    try:
        with owned(folder, "another fit", wait=True):
            yield
    except SettingsError:
        if made and {path.name for path in folder.iterdir()} == {LOCK}:
            shutil.rmtree(folder)
        raise


def complete(
    learned: Approximations,
    combination: Combination,
    dataset: DataSet,
    folder: Path,
    unseen: Unseen | None = None,
) -> None:
    """Adds the parts of a combination, and notes in the folder which it is.

    Args:
        learned, combination: q, and what it is completed to.
        dataset: parts learn from its training split.
        folder: of their files.
        unseen: images that set the level of what is predicted; default those of the valid split.
    """
    add_parts(learned, combination, lambda: dataset["train"], folder, unseen or of_split(learned, dataset))
    if not (folder / COMBINATION).exists() or _last_combination(folder) != combination:
        write_json(folder / COMBINATION, asdict(combination))


def of_split(learned: Approximations, dataset: DataSet) -> Unseen:
    """Opens a fair sample of the valid split at all places; none where a data set has no such images."""

    def opened() -> tuple[Bank, str] | None:
        try:
            split = dataset[LEVELS]
            return embedded(learned, split), split.fingerprint
        except NoImagesError:  # training images alone do for a fit; its table says what is missing
            return None

    return opened


def learn(
    dataset: DataSet, folder: Path, settings: FittedSettings, geometry: Geometry, device: torch.device | str
) -> Approximations:
    """q, not calibrated, with its bank and the codebook; of all attributes together if there are several."""
    train, facts = at_device(dataset["train"], device), TaskFacts.of(dataset)
    rows, bank = partition(train, settings.seed)
    if settings.balanced:
        require_every_class(train.labels[bank], facts.classes, f"the {len(bank)} images of the bank")
        bank = bank[balanced(train.labels[bank], max(1, len(bank) // facts.classes))]
        rows = rows[balanced(train.labels[rows])]
    places, information = codebook(
        train, rows, geometry, places=settings.places, glimpses=settings.glimpses, classes=facts.classes
    )
    if geometry.first_glance:
        places = torch.cat([places, whole_image(geometry.image_size).to(places)[None]])
    torch.manual_seed(settings.seed)
    kind = POSTERIORS.require(settings.posterior)
    q = kind.new(geometry, settings, places.cpu(), classes=facts.classes, attributes=facts.attributes).to(
        device
    )
    learned = Approximations(q, train.take(bank), places, geometry, settings, facts=facts)
    if not kind.exact:
        names = tuple(dataset.attributes)
        varied = Augmentation(
            geometry, jitter=dataset.aligned, mirror=dataset.symmetric, roll=not dataset.aligned
        )
        learn_posterior(learned, train, rows, information, folder, augmentation=varied, attributes=names)
    q.eval()
    return learned


def finish(learned: Approximations, folder: Path) -> None:
    """Calibrates q and saves it; what is left of another q in the folder is removed."""
    if not POSTERIORS.require(learned.settings.posterior).exact:
        calibrate(learned, learned.settings.seed)
    for part in [path for pattern in (*PARTS, PART_STATES) for path in folder.glob(pattern)]:
        part.unlink()  # of another q, whose file is gone
    learned.save_posterior(folder)


def require_settings(folder: Path, asked: dict[str, Any], geometry: Geometry | None) -> None:
    """Raises CheckpointError, naming both values, when `folder` was fitted with other settings."""
    _, about = read_posterior(folder)
    settings = saved_settings(folder / POSTERIOR, about)
    pairs = [(name, value, getattr(settings, name)) for name, value in asked.items()]
    if geometry is not None:
        kept = asdict(saved_geometry(folder / POSTERIOR, about))
        pairs += [(name, value, kept[name]) for name, value in asdict(geometry).items()]
    for name, expected, found in pairs:
        if expected != found:
            raise CheckpointError(
                f"expected approximations in {folder} with {name} = {json.dumps(expected)}, found "
                f"{json.dumps(found)}; use the same settings or another --run folder"
            )


@contextmanager
def seeded_apart() -> Iterator[None]:
    """Torch's generators are seeded within, and as before after; one thread, so that sums do not vary."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        yield


def _device(device: torch.device | str) -> torch.device:
    return choose_device(device) if isinstance(device, str) else device
