"""`boed fit`: learns the approximations of a task from its training split.

1. A closed-form map of informative places gives the codebook of candidates (`boed.search.proposal`).
2. q is trained on three quarters of the training images, first at places drawn by that map, then on the
   histories that a first design produces (on-policy), each followed by arbitrary places.
3. On the remaining images, the bank, which q has never seen, q is calibrated by one temperature per t.
4. The other parts of the combination are learned: completion, estimator, weights of an image's own map.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from boed.approximations import FILE, Approximations
from boed.combination import Combination, require_glance
from boed.fitting.parts import PARTS, add_parts
from boed.fitting.posterior_fit import STATES, calibrate, learn_posterior
from boed.posteriors.choices import BACKBONES
from boed.posteriors.registry import new_posterior, require_enumerable
from boed.search.codebook import codebook, partition
from data.dataset import DataSet
from data.device import at_device, one_thread
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.places import whole_image
from data.tensors import load_tensors

LARGEST_SEED = 2**31
FEWEST_ITERATIONS, MOST_ITERATIONS = 4000, 10_000


@dataclass(frozen=True)
class FitSettings:
    """What can be chosen about a fit.

    Args:
        glimpses: T.
        places: size L of the codebook; a grid of up to 200 locations is taken whole.
        iterations: of each training; the last quarter of q's is on-policy. Default a fifth of the number of
            training images, but 4,000 to 10,000.
        width: of q's embedding, or of the first layer of a small AVP-CNN (a sixth of it).
        resolution: side in pixels at which an AVP-CNN, a CVAE and a factor analysis see images, at most.
        backbone: of an AVP-CNN, see `boed.posteriors.backbones`.
        pretrained: whether a backbone of torchvision starts from its published weights.
        seed: of everything that is drawn.
        trial_images: that designs are tried on, at most, while fitting (for the states that q meets, its
            calibration and the weights of an image's own map), and that average maps are made of where
            images have looked at different places. The fewer the faster, and the noisier what is estimated.
            None: 400 to 1,000, and for the weights 100,000 over the number of places.
    """

    glimpses: int
    places: int = 60
    iterations: int = FEWEST_ITERATIONS
    width: int = 96
    resolution: int = 48
    backbone: str = BACKBONES[0]
    pretrained: bool = False
    seed: int = 0
    trial_images: int | None = None

    def __post_init__(self) -> None:
        for name in ("glimpses", "places", "iterations", "width", "resolution", "trial_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"expected {name} of at least 1, found {value}")
        if not 0 <= self.seed < LARGEST_SEED:
            raise SettingsError(f"expected seed of at least 0 and below {LARGEST_SEED}, found {self.seed}")


def fit(
    dataset: DataSet,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    geometry: Geometry | None = None,
    combination: Combination | None = None,
    **chosen: Any,
) -> Approximations:
    """Learns the approximations into `folder`; what is there already is loaded.

    Args:
        dataset: its training split is used, nothing else.
        folder: for the approximations of one posterior, and the state of an interrupted fit.
        device: where it computes.
        geometry: sensor and grid; default what `folder` was fitted with, else the data set's.
        combination: parts that a design needs; default `Combination()`.
        chosen: fields of `FitSettings`; the others take their defaults, or what `folder` was fitted with.

    Raises:
        CheckpointError: the folder holds approximations with other settings (both values are shown).
        SettingsError: an impossible setting.
    """
    combination = combination or Combination()
    there = (folder / FILE).exists()
    defaults = {"glimpses": dataset.glimpses}
    if not there and "iterations" not in chosen:
        defaults["iterations"] = min(MOST_ITERATIONS, max(FEWEST_ITERATIONS, len(dataset["train"]) // 5))
    settings = FitSettings(**{**defaults, **chosen})
    if "exact" in (combination.posterior, combination.completion):
        require_enumerable(dataset)
    (geometry or dataset.geometry).grid()  # refuses a glimpse larger than the image
    require_glance(combination, geometry or dataset.geometry, settings.glimpses)
    fixed = {"posterior": combination.posterior, "dataset": dataset.name, "target": dataset.target}
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices), one_thread():
        if there:
            require_settings(folder, fixed | chosen, geometry)
            learned = Approximations.load(folder, dataset, device)
        else:
            learned = learn(dataset, folder, asdict(settings) | fixed, geometry or dataset.geometry, device)
            finish(learned, folder)
        add_parts(learned, combination, dataset, folder)
    for name in STATES:
        (folder / name).unlink(missing_ok=True)
    return learned


def learn(
    dataset: DataSet, folder: Path, settings: dict[str, Any], geometry: Geometry, device: torch.device | str
) -> Approximations:
    """q, not calibrated, with its bank and the codebook; of all attributes together if there are several."""
    train, classes = at_device(dataset["train"], device), len(dataset.classes)
    rows, bank = partition(train, settings["seed"])
    places, information = codebook(
        train, rows, geometry, places=settings["places"], glimpses=settings["glimpses"], classes=classes
    )
    if geometry.first_glance:
        places = torch.cat([places, whole_image(geometry.image_size).to(places)[None]])
    torch.manual_seed(settings["seed"])
    q = new_posterior(geometry, dataset, settings, places.cpu()).to(device)
    learned = Approximations(q, train.take(bank), places, geometry, settings)
    if settings["posterior"] != "exact":
        names = tuple(dataset.attributes)
        learn_posterior(learned, train, rows, information, folder, jitter=dataset.aligned, attributes=names)
    q.eval()
    return learned


def finish(learned: Approximations, folder: Path) -> None:
    """Calibrates q and saves it; what is left of another q in the folder is removed."""
    if learned.settings["posterior"] != "exact":
        calibrate(learned, int(learned.settings["seed"]))
    for part in [path for pattern in PARTS for path in folder.glob(pattern)]:
        part.unlink()  # of another q, whose file is gone
    learned.save(folder)


def require_settings(folder: Path, asked: dict[str, Any], geometry: Geometry | None) -> None:
    """Raises CheckpointError, naming both values, when `folder` was fitted with other settings."""
    _, about = load_tensors(folder / FILE, "boed fit")
    pairs = [(name, value, about["settings"].get(name)) for name, value in asked.items()]
    if geometry is not None:
        found = asdict(Geometry(**about["geometry"]))
        pairs += [(name, value, found[name]) for name, value in asdict(geometry).items()]
    for name, expected, found in pairs:
        if expected != found:
            raise CheckpointError(
                f"expected approximations in {folder} with {name} = {json.dumps(expected)}, found "
                f"{json.dumps(found)}; use the same settings or another --run folder"
            )
