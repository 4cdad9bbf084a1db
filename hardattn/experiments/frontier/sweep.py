"""`hardattn frontier`: accuracy against compute, of hard attention and of networks made to be cheap.

Every network of a grid is trained on the same terms by the same optimiser, with the same variations of its
images, and measured on validation and test images. The former choose learning rates and each family's
frontier, the latter say how good it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from data.dataset import DataSet
from data.errors import SettingsError
from data.files import write_json, write_rows
from data.registry import reopen
from hardattn.experiments.choices import MINUTES
from hardattn.experiments.frontier.grid import Member
from hardattn.experiments.frontier.measuring import keep_originals
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.experiments.frontier.result import FRONTIER, TABLE, Frontier
from hardattn.experiments.frontier.terms import Terms
from hardattn.experiments.frontier.work import Training, Work
from hardattn.experiments.workers import spread
from supervision.store import SequenceStore

Say = Callable[[str], None]


def frontier(
    dataset: DataSet,
    grid: Sequence[Member],
    run: Path,
    *,
    minutes: float = MINUTES,
    terms: Terms | None = None,
    sequences: SequenceStore | None = None,
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    command: Sequence[str] | None = None,
    workers: int = 1,
    say: Say = print,
) -> Frontier:
    """Trains and measures every network into RUN/frontier; what is done is not done again.

    Sequences that are not there are made by `boed generate`, into RUN or, of other glimpses than the data
    set's own, RUN/frontier; that takes time of its own. Of several learning rates the one whose kept weights
    have the smaller validation NLL on the first seed trains a network on the other seeds.

    Args:
        grid: see `hardattn.experiments.frontier.grid.read_grid`.
        run: the folder of all runs of the task.
        minutes: of all networks together, which share them, where no terms are given.
        terms: how long each is trained, and at which learning rates.
        sequences: to imitate; networks that they do not fit are left out.
        seed: the first.
        seeds: how many trainings of each network.
        command: words of the command line that asks for it, kept for reports.
        workers: processes that train at a time, each a network; several open the data set by its name.
        say: is told what begins; of several workers what is done.

    Raises:
        SettingsError: no time, sequences that fit no network, or no workers.
        CheckpointError: a network of other settings, another time for example, is there already.
    """
    if terms is None and not minutes > 0:
        raise SettingsError(f"expected minutes above 0, found {minutes:g} minutes; give some")
    terms = terms or Terms(minutes=minutes / max(len(grid), 1))
    opened, folder = dict(dataset.origin or {}), run / "frontier"
    work = Work(dataset, opened, run, folder, terms, device, sequences, command)
    served = [member for member in grid if work.serves(member)]
    if not served:
        raise SettingsError("expected networks that the sequences fit, found 0 networks; change --grid")
    for member in grid:
        if member not in served:
            say(f"{member.name}: left out, the sequences are of other glimpses, or of fewer")
    numbers = list(range(seed, seed + seeds))
    points = _of_all_seeds(work, served, numbers, workers, say)
    facts = (dataset.name, dataset.target, dataset.geometry.height * dataset.geometry.width, numbers)
    result = Frontier(*facts, points, terms, None if command is None else list(command))
    keep_originals(folder, dataset["test"])
    write_json(folder / FRONTIER, result.to_json())
    write_rows(folder / TABLE, [asdict(point) for point in points])
    return result


def _of_all_seeds(
    work: Work, members: Sequence[Member], seeds: Sequence[int], workers: int, say: Say
) -> list[FrontierPoint]:
    """The points of networks, seed by seed; the first seed tries every learning rate."""
    first, *others = seeds
    rates = work.terms.rates
    _do(work, [Training(member, first, rate) for member in members for rate in rates], workers, say)
    chosen = {member.name: _best(work, member, first) for member in members}
    for seed in others:
        _do(work, [Training(member, seed, chosen[member.name]) for member in members], workers, say)
    kept = [Training(member, seed, chosen[member.name]) for seed in seeds for member in members]
    return [point for training in kept for point in work.points(training)]


def _best(work: Work, member: Member, seed: int) -> float | None:
    """The learning rate of the smallest validation NLL; the first of several that are alike."""
    rates = work.terms.rates
    if len(rates) == 1:
        return rates[0]
    return min(rates, key=lambda rate: work.validation_nll(Training(member, seed, rate)))


def _do(work: Work, trainings: Sequence[Training], workers: int, say: Say) -> None:
    """Does the trainings whose points are not known; by several workers, the sequences first."""
    unknown = [training for training in trainings if work.known(training) is None]
    if workers == 1:
        for training in unknown:
            say(f"{training.name}: {work.terms.words}")
            work.points(training)
        return
    reopen(work.opened, None, "a data set with --workers")  # raises where no other process could
    for training in unknown:
        work.require_new(training)
    for training in unknown:
        work.prepare(training.member)
    for number, _ in spread(work.points, unknown, workers):
        say(f"{unknown[number].name}: {work.terms.words}, done")
