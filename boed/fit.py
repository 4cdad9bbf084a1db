"""`boed fit`: learns the approximations of a task from its training split.

1. A closed-form map of informative places gives the codebook of candidates (`boed.proposal`).
2. q is trained on three quarters of the training images, first at places drawn by that map, then on the
   histories that a first design produces (on-policy), each followed by arbitrary places.
3. On the remaining images, the bank, which q has never seen: q is calibrated by one temperature per t, and
   the weight of an image's own map is chosen for every step.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from boed.approximations import FILE, Approximations, new_posterior
from boed.epe import candidate_scores
from boed.proposal import choose_places, ridge_information
from boed.search import SCORE, Designer, History
from boed.shrinkage import choose_weight, shrunk
from boed.training import LEARNING_RATE, PlaceSampler, train_posterior
from data.dataset import DataSet, Split
from data.device import at_device, one_thread
from data.errors import CheckpointError, DataError, SettingsError
from data.geometry import Geometry
from data.tensors import load_tensors

STATES = ("fit-state-1.safetensors", "fit-state-2.safetensors")  # of the two trainings
BANK_SHARE, BANK_MOST, FEWEST = 0.28, 8000, 8
ON_POLICY_IMAGES, CALIBRATION_IMAGES, WEIGHT_IMAGES = 400, 400, 800
LARGEST_SEED = 2**31
PROPOSAL_PLACES, CODEBOOK_IMAGES = 700, 2000


@dataclass(frozen=True)
class FitSettings:
    """What can be chosen about a fit.

    Args:
        glimpses: T.
        places: size L of the codebook; a grid of up to 200 locations is taken whole.
        iterations: of q's training; the last quarter is on-policy.
        width: of q's embedding.
        target_ess: effective number of bank images per completion.
        seed: of everything that is drawn.
    """

    glimpses: int
    places: int = 60
    iterations: int = 4000
    width: int = 96
    target_ess: float = 50.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("glimpses", "places", "iterations", "width"):
            if getattr(self, name) < 1:
                raise SettingsError(f"expected {name} of at least 1, found {getattr(self, name)}")
        if not 0 <= self.seed < LARGEST_SEED:
            raise SettingsError(f"expected seed of at least 0 and below {LARGEST_SEED}, found {self.seed}")


def fit(
    dataset: DataSet,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    geometry: Geometry | None = None,
    **chosen: int,
) -> Approximations:
    """Learns the approximations into `folder`; when they are there already, loads them.

    Args:
        dataset: its training split is used, nothing else.
        folder: for the approximations, and the state of an interrupted fit.
        device: where it computes.
        geometry: sensor and grid; default what `folder` was fitted with, else the data set's.
        chosen: fields of `FitSettings`; the others take their defaults, or what `folder` was fitted with.

    Raises:
        CheckpointError: the folder holds approximations with other settings (both values are shown).
        SettingsError: an impossible setting.
    """
    settings = FitSettings(**{"glimpses": dataset.glimpses, **chosen})
    (geometry or dataset.geometry).grid()  # refuses a glimpse larger than the image
    if (folder / FILE).exists():
        asked = {"dataset": dataset.name, "target": dataset.target, **chosen}
        require_settings(folder, asked, geometry)
        return Approximations.load(folder, dataset, device)
    wanted = asdict(settings) | {"dataset": dataset.name, "target": dataset.target}
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), one_thread():
        result = _learn(dataset, folder, settings, wanted, geometry or dataset.geometry, device)
    result.save(folder)
    for name in STATES:
        (folder / name).unlink(missing_ok=True)
    return result


def _learn(
    dataset: DataSet,
    folder: Path,
    settings: FitSettings,
    wanted: dict[str, Any],
    geometry: Geometry,
    device: torch.device | str,
) -> Approximations:
    train = at_device(dataset["train"], device)
    fit_rows, bank_rows = partition(train, settings.seed)
    sample = train.take(fit_rows[:: max(1, len(fit_rows) // CODEBOOK_IMAGES)])
    places, information = codebook(sample, geometry, settings, len(dataset.classes))
    torch.manual_seed(settings.seed)
    q = new_posterior(geometry, len(dataset.classes), wanted).to(device)
    bank = train.take(bank_rows)
    learned = Approximations(q, bank, places, (0.0,) * settings.glimpses, geometry, wanted)
    _train_twice(learned, train, fit_rows, information, settings, folder)
    learned.q.temperature.copy_(_temperatures(learned, settings))
    learned.weights = estimate_weights(learned, settings.seed)
    return learned


def require_settings(folder: Path, asked: dict[str, Any], geometry: Geometry | None) -> None:
    """Raises CheckpointError, naming both values, when `folder` was fitted with other settings."""
    _, about = load_tensors(folder / FILE, "boed fit")
    pairs = [(name, value, about["settings"].get(name)) for name, value in asked.items()]
    if geometry is not None:
        pairs += [(name, value, about["geometry"].get(name)) for name, value in geometry.to_json().items()]
    for name, expected, found in pairs:
        if expected != found:
            raise CheckpointError(
                f"expected approximations in {folder} with {name} = {json.dumps(expected)}, found "
                f"{json.dumps(found)}; use the same settings or another --run folder"
            )


def partition(split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Rows that train q, and rows of the bank; images of one group stay together.

    Raises:
        DataError: there are too few images to part.
    """
    groups = split.ids.cpu() if split.groups is None else split.groups
    names, inverse = groups.unique(return_inverse=True)
    if len(names) < FEWEST:
        raise DataError(f"expected at least {FEWEST} training images, found {len(names)}; add images")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(names), generator=generator)[: max(1, round(BANK_SHARE * len(names)))]
    in_bank = torch.zeros(len(names), dtype=torch.bool)
    in_bank[chosen] = True
    bank = in_bank[inverse].nonzero().view(-1)
    bank = bank[torch.linspace(0, len(bank) - 1, min(len(bank), BANK_MOST)).long()]
    return (~in_bank[inverse]).nonzero().view(-1).to(split.ids.device), bank.to(split.ids.device)


def codebook(split: Split, geometry: Geometry, settings: FitSettings, classes: int) -> tuple[Tensor, Tensor]:
    """(L, 2) places, most informative first, and their information (L,) in nats."""
    locations = geometry.grid().locations.to(split.images.device)
    if len(locations) > PROPOSAL_PLACES:  # every second row and column is close enough to find the places
        step = math.ceil(math.sqrt(len(locations) / PROPOSAL_PLACES))
        keep = [torch.isin(locations[:, a], locations[:, a].unique()[::step]) for a in (0, 1)]
        locations = locations[keep[0] & keep[1]]
    information = ridge_information(split, locations, geometry.retina(), classes)
    everything = len(geometry.grid()) <= max(settings.places, 200)
    count, spacing = (len(locations), 0.0) if everything else (settings.places, 0.75 * geometry.glimpse_size)
    chosen = choose_places(information.cpu(), locations.cpu(), count, spacing).to(locations.device)
    if len(chosen) < settings.glimpses:
        raise SettingsError(
            f"expected at least {settings.glimpses} places for as many glimpses, found {len(chosen)}; "
            "ask for fewer glimpses or more places"
        )
    return locations[chosen], information[chosen]


def _train_twice(
    learned: Approximations,
    train: Split,
    rows: Tensor,
    information: Tensor,
    settings: FitSettings,
    folder: Path,
) -> None:
    """q at informed places, then on-policy; each training is taken up by itself when interrupted."""
    proposal = place_probabilities(information.cpu())
    task = learned.geometry.to_json() | learned.settings | {"images": train.fingerprint}

    def train_q(sample: PlaceSampler, iterations: int, state: Path, title: str, rate: float) -> None:
        train_posterior(
            learned.q,
            train,
            rows,
            learned.places,
            learned.geometry,
            sample,
            iterations=iterations,
            seed=settings.seed,
            state=state,
            task=task,
            title=title,
            learning_rate=rate,
        )
        learned.__dict__.pop("bank_embeddings", None)  # they are q's

    first = settings.iterations * 3 // 4
    train_q(_informed(proposal, settings.glimpses), first, folder / STATES[0], "fit q", LEARNING_RATE)
    learned.weights = estimate_weights(learned, settings.seed, images=CALIBRATION_IMAGES)
    histories = _histories(learned, train, rows, settings.seed).cpu()
    second, rate = settings.iterations - first, LEARNING_RATE / 3
    train_q(on_policy(histories, proposal), second, folder / STATES[1], "fit q on-policy", rate)


def place_probabilities(information: Tensor) -> Tensor:
    """(L,) informative places more often, every place sometimes."""
    scale = information.max().clamp(min=1e-6) / 3
    return 0.7 * (information / scale).softmax(0) + 0.3 / len(information)


def _informed(proposal: Tensor, glimpses: int) -> PlaceSampler:
    def sample(count: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(proposal.expand(count, -1), glimpses, generator=generator)

    return sample


def on_policy(histories: Tensor, proposal: Tensor) -> PlaceSampler:
    """The states in which candidates are scored: a prefix of a designed history, then arbitrary places."""
    informed = _informed(proposal, histories.shape[1])

    def sample(count: int, generator: torch.Generator) -> Tensor:
        history = histories[torch.randint(len(histories), (count,), generator=generator)]
        kept = torch.randint(histories.shape[1] + 1, (count, 1), generator=generator)
        return torch.where(torch.arange(histories.shape[1]) < kept, history, informed(count, generator))

    return sample


@torch.no_grad()
def _histories(learned: Approximations, train: Split, rows: Tensor, seed: int) -> Tensor:
    """(M, T) places of a first design for some of q's own training images."""
    some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), ON_POLICY_IMAGES)).long().to(rows.device)]
    history = History(Designer(learned), train, some, seed=seed)
    for weight in tqdm(learned.weights, desc="first designs", unit="glimpse"):
        history.look(history.score_map(weight).argmin(1))
    return history.chosen


def _sample(bank: Split, count: int) -> Tensor:
    """About `count` rows, evenly spread."""
    return torch.arange(0, len(bank), math.ceil(len(bank) / count), device=bank.ids.device)


@torch.no_grad()
def _temperatures(learned: Approximations, settings: FitSettings) -> Tensor:
    """(T+1,) one temperature per number of glimpses: the lowest cross-entropy on the bank, on-policy."""
    q, bank = learned.q, learned.bank
    q.temperature.fill_(1.0)
    rows = _sample(bank, CALIBRATION_IMAGES)
    history = History(Designer(learned), bank, rows, seed=settings.seed, excluded=rows)
    found = [1.0]
    for weight in tqdm(learned.weights, desc="calibrate q", unit="glimpse"):
        history.look(history.score_map(weight).argmin(1))
        found.append(best_temperature(q.logits(history.total.float(), history.count), bank.labels[rows]))
    return torch.tensor(found)


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature in [0.5, 4] with the lowest cross-entropy of logits / temperature.

    >>> best_temperature(torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])) > 3.9
    True
    """
    grid = np.geomspace(0.5, 4, 61)
    losses = [float(cross_entropy(logits / float(t), labels)) for t in grid]
    return float(grid[int(np.argmin(losses))])


@torch.no_grad()
def estimate_weights(learned: Approximations, seed: int, *, images: int = WEIGHT_IMAGES) -> tuple[float, ...]:
    """The weight of an image's own map at each step, chosen on the bank along the design's own histories."""
    bank = learned.bank
    rows = _sample(bank, images)
    designer = Designer(learned)
    history = History(designer, bank, rows, seed=seed, excluded=rows)
    weights = []
    for step in tqdm(range(learned.glimpses), desc="weigh own maps", unit="glimpse"):
        average, own = history.average_map(), history.own_map()
        realised = candidate_scores(  # every bank image is its own, only completion
            designer.q, history.total[:, None], step + 1, designer.embeddings[rows], bank.labels[rows], SCORE
        )
        weights.append(choose_weight(average, own, realised))
        history.look(shrunk(average, own, weights[-1]).argmin(1))
    return tuple(weights)
