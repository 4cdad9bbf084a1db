"""How q is learned: at informed places, then on-policy, then calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from boed.approximations import Approximations
from boed.fitting.augmentation import Augmentation
from boed.fitting.fit_log import LOSS_OF_Q, Curve
from boed.fitting.training import BATCH, LEARNING_RATE, PlaceSampler, train_posterior
from boed.posteriors.posterior import best_temperature
from boed.posteriors.registry import POSTERIORS
from boed.search.adaptivity import FEW_IMAGES, affordable, estimate_adaptivity, sample
from boed.search.codebook import place_probabilities
from boed.search.covering import covering
from boed.search.designer import Designer, History
from data.dataset import Split
from data.progress import progress
from data.stages import stage

ROUNDS = 3  # of training on-policy
STATES = tuple(f"fit-state-{n}.safetensors" for n in range(2 + ROUNDS))  # of the trainings
MANY = 4  # times T glimpses at first
COVERING = 0.8, 0.875  # for a q that is taught by covering glimpses: see `split_iterations`
ON_POLICY_IMAGES, CALIBRATION_IMAGES = 500, 1000
TRIAL_IMAGES = 300


def learn_posterior(
    learned: Approximations,
    train: Split,
    rows: Tensor,
    information: Tensor,
    folder: Path,
    *,
    augmentation: Augmentation,
    attributes: Sequence[str] = (),
) -> None:
    """Trains `learned.q` in place; each training is taken up by itself when interrupted.

    Half of the iterations have glimpses at places drawn by their information; for a quarter of these, four
    times as many as there will be: a single glimpse may tell so little that q would learn to ignore it. The
    other half has them at prefixes of what the design looks at with q as it is by then, in three rounds, so
    that q comes to know the states that its own design leads to.

    Args:
        learned: an untrained q with its bank and places.
        train, rows: images for q, none of them in the bank.
        information: (L,) of the places, or (L, A).
        folder: for the state of an interrupted training.
        augmentation: see `boed.fitting.training.train_posterior`.
        attributes: names, where q is of several: then each has designs of its own.
    """
    proposal, seed = place_probabilities(information.cpu()), learned.settings.seed
    if learned.glance is not None:
        proposal = pad(proposal, (0, 1))  # the glance comes first, and is drawn no more
    done = 0
    task = learned.geometry.to_json() | learned.settings.to_json() | {"images": train.fingerprint}

    def train_q(
        draw: PlaceSampler, iterations: int, number: int, title: str, rate: float = LEARNING_RATE
    ) -> None:
        nonlocal done
        train_posterior(
            learned.q,
            train,
            rows,
            learned.geometry,
            draw,
            iterations=iterations,
            seed=seed * len(STATES) + number,
            state=folder / STATES[number],
            task=task,
            title=title,
            curve=Curve(LOSS_OF_Q, before=done),
            augmentation=augmentation,
            learning_rate=rate,
        )
        done += iterations
        learned.forget()

    places = learned.places.cpu()
    if POSTERIORS.require(learned.settings.posterior).covering:
        many, first, *others = split_iterations(learned.settings.iterations, *COVERING)
        train_q(partial(covering, learned.geometry), many, 0, "fit q, covering glimpses")
    else:
        many, first, *others = split_iterations(learned.settings.iterations)
        most = min(MANY * learned.glimpses, len(places))
        few = max(1, BATCH * learned.glimpses // most)  # images, so that an iteration has as many glimpses
        draw = informed(proposal, places, most, learned.glance, images=few)
        # at the full rate q may fall silent before it has found anything
        train_q(draw, many, 0, "fit q, many glimpses", LEARNING_RATE / 3)
    train_q(informed(proposal, places, learned.glimpses, learned.glance), first, 1, "fit q")
    for number, iterations in enumerate(others, 1):
        tasks = [learned.of_attribute(n, name) for n, name in enumerate(attributes)] or [learned]
        histories = [_histories(task, train, rows[n :: len(tasks)], seed) for n, task in enumerate(tasks)]
        draw = on_policy(torch.cat(histories).cpu(), proposal, places, learned.glance)
        title = f"fit q on-policy, {number} of {ROUNDS}"
        train_q(draw, iterations, 1 + number, title, LEARNING_RATE / 2)


def split_iterations(total: int, before: float = 0.5, many: float = 0.25) -> list[int]:
    """A share of the iterations before the rounds, a share of these with many glimpses; then the rounds.

    >>> split_iterations(4000)
    [500, 1500, 666, 666, 668]
    """
    first = int(before * total)
    of_many, each = int(many * first), (total - first) // ROUNDS
    return [of_many, first - of_many, *[each] * (ROUNDS - 1), total - first - each * (ROUNDS - 1)]


def informed(
    proposal: Tensor, places: Tensor, glimpses: int, glance: int | None = None, images: int = BATCH
) -> PlaceSampler:
    """Distinct places (L, 3) drawn by their probabilities (A, L), for an arbitrary attribute.

    Args:
        glance: place that all begin with, if any.
        images: in a batch.
    """

    def draw(generator: torch.Generator) -> Tensor:
        attribute = torch.randint(len(proposal), (images,), generator=generator)
        if glance is None:
            return places[torch.multinomial(proposal[attribute], glimpses, generator=generator)]
        drawn = torch.multinomial(proposal[attribute], glimpses - 1, generator=generator)
        return places[pad(drawn, (1, 0), value=glance)]

    return draw


def on_policy(
    histories: Tensor, proposal: Tensor, places: Tensor, glance: int | None = None, images: int = BATCH
) -> PlaceSampler:
    """The states in which candidates are scored: a prefix of a designed history, then arbitrary places."""
    arbitrary = informed(proposal, places, histories.shape[1], glance, images)

    def draw(generator: torch.Generator) -> Tensor:
        history = places[histories[torch.randint(len(histories), (images,), generator=generator)]]
        kept = torch.randint(histories.shape[1] + 1, (images, 1), generator=generator)
        designed = torch.arange(histories.shape[1]) < kept
        return torch.where(designed[..., None], history, arbitrary(generator))

    return draw


@stage("first designs")
@torch.no_grad()
def _histories(learned: Approximations, train: Split, rows: Tensor, seed: int) -> Tensor:
    """(M, T) places of a first design for some of q's own training images."""
    alone = learned.settings.together is None
    images = TRIAL_IMAGES if alone else FEW_IMAGES
    adaptivity = estimate_adaptivity(learned, seed, images=images, errors=0)  # q must know what adapting sees
    learned.weights = adaptivity.weights
    count = affordable(learned, ON_POLICY_IMAGES if alone else FEW_IMAGES)
    some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), count)).long().to(rows.device)]
    history = History(Designer(learned), train, some, seed=seed)
    for weight in progress(learned.weights, desc="first designs", unit="glimpse"):
        history.look(history.choose(weight)[0])
    return history.chosen


@stage("calibration of q")
@torch.no_grad()
def calibrate(learned: Approximations, seed: int) -> None:
    """Sets one temperature of q per number of glimpses: the lowest cross-entropy on the bank, on-policy."""
    q, bank = learned.q, learned.bank
    q.temperature.fill_(1.0)
    rows = sample(len(bank), affordable(learned, CALIBRATION_IMAGES), bank.ids.device)
    history = History(Designer(learned), bank, rows, seed=seed, excluded=learned.versions(bank, rows))
    temperatures = [1.0]
    for weight in progress(learned.weights, desc="calibrate q", unit="glimpse"):
        history.look(history.choose(weight)[0])
        temperatures.append(
            best_temperature(q.logits(history.total.float(), history.count), bank.labels[rows])
        )
    q.temperature.copy_(torch.tensor(temperatures))
