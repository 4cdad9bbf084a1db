"""What it costs to train q as a Pyro guide: `python -m benchmarks.guide_cost`.

Short trainings of the same q on the built-in digits, in turn: as the guide of the joint model by the forward
KL, and by a bare loop of torch with the same draws, batch, optimiser and learning rates. Milliseconds of
an iteration by the clock and of CPU time, one thread, the median of the rounds and the least.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.stopwatch import machine
from boed.fitting.augmentation import Augmentation
from boed.fitting.posterior_fit import informed
from boed.fitting.training import BATCH, LEARNING_RATE, WEIGHT_DECAY, train, train_posterior
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from boed.posteriors.posterior import Posterior
from boed.settings import FitSettings
from data import load
from data.dataset import DataSet
from data.device import one_thread

Training = Callable[[Posterior, DataSet, int, Path], None]
SEED = 0


class Seconds(NamedTuple):
    """Of one iteration.

    Attributes:
        wall: by the clock.
        cpu: of this process.
    """

    wall: float
    cpu: float


def as_guide(q: Posterior, digits: DataSet, iterations: int, state: Path) -> None:
    """By `boed.fitting.training.train_posterior`."""
    places = digits.geometry.grid().locations
    train_posterior(
        q,
        digits["train"],
        torch.arange(len(digits["train"])),
        digits.geometry,
        informed(torch.ones(1, len(places)), places, digits.glimpses),
        iterations=iterations,
        seed=SEED,
        state=state,
        task={},
        title="guide",
        augmentation=Augmentation(digits.geometry, jitter=False, mirror=False),
    )


def bare(q: Posterior, digits: DataSet, iterations: int, state: Path) -> None:
    """The same draws and the same loss, without Pyro."""
    split, geometry, glimpses = digits["train"], digits.geometry, digits.glimpses
    places, counts = geometry.grid().locations, torch.arange(1, glimpses + 1)
    sample = informed(torch.ones(1, len(places)), places, glimpses)

    def loss(generator: torch.Generator) -> Tensor:
        chosen = sample(generator)
        index = torch.randint(len(split), (BATCH,), generator=generator)
        shown = geometry.retina()(split.images, index, chosen)
        logits = q.logits(q.prefixes(q.embed(shown, geometry.centres(chosen))), counts)
        return cross_entropy(logits.flatten(0, 1), split.labels[index].repeat_interleave(glimpses))

    train(
        q,
        loss,
        iterations=iterations,
        seed=SEED,
        state=state,
        task={},
        title="bare loop",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
    )


def timed(training: Training, q: Posterior, digits: DataSet, iterations: int) -> Seconds:
    """What an iteration takes in a training of its own."""
    with TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        training(q, digits, iterations, Path(folder) / "state.safetensors")
        return Seconds((time.perf_counter() - wall) / iterations, (time.process_time() - cpu) / iterations)


def compare(rounds: int, iterations: int) -> dict[str, list[Seconds]]:
    """Seconds of every round, the two in turn, each time from the same weights."""
    digits = load("digits")
    torch.manual_seed(SEED)
    width = FitSettings(digits.glimpses).width
    q = GlimpseSetPosterior(digits.geometry.glimpse_shape(), len(digits.classes), digits.glimpses, width)
    trainings: dict[str, Training] = {"guide": as_guide, "bare loop": bare}
    seconds: dict[str, list[Seconds]] = {name: [] for name in trainings}
    for number in range(rounds + 1):
        for name, training in trainings.items():
            taken = timed(training, copy.deepcopy(q), digits, iterations)
            if number:  # the first round warms up
                seconds[name].append(taken)
    return seconds


@click.command(help=__doc__)
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True)
@click.option("--iterations", type=click.IntRange(min=1), default=60, show_default=True, help="Of a round.")
def main(rounds: int, iterations: int) -> None:
    """Prints a row for each of the two, and by how much the guide is slower."""
    with one_thread(), torch.random.fork_rng():
        seconds = compare(rounds, iterations)
    click.echo(f"{machine(torch.device('cpu'))}, {rounds} rounds of {iterations} iterations")
    for name, taken in seconds.items():
        columns = [1e3 * of(values) for values in zip(*taken, strict=True) for of in (statistics.median, min)]
        click.echo("{:10} wall {:.2f} (least {:.2f}) ms, CPU {:.2f} (least {:.2f}) ms".format(name, *columns))
    pairs = zip(seconds["guide"], seconds["bare loop"], strict=True)
    click.echo(
        f"slower by {100 * (statistics.median(a.cpu / b.cpu for a, b in pairs) - 1):.1f} % of CPU time"
    )


if __name__ == "__main__":
    main()
