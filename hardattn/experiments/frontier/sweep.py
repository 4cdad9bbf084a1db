"""`hardattn frontier`: accuracy against compute, of hard attention and of networks made to be cheap.

Every network of a grid is trained for the same time by the same optimiser, with the same variations of its
images, and measured on validation and test images. The former choose each family's frontier, the latter say
how good it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.errors import CheckpointError, SettingsError
from data.files import write_json, write_rows
from data.geometry import Geometry
from data.logs import read_log
from data.registry import reopen
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import evaluate, measured
from hardattn.experiments.choices import MINUTES
from hardattn.experiments.frontier.grid import Member
from hardattn.experiments.frontier.pareto import FrontierPoint, frontiers
from hardattn.experiments.reproduce.settings import require_minutes
from hardattn.experiments.row_sequences import designed
from hardattn.experiments.workers import spread
from hardattn.loading import open_trained
from hardattn.runs import train
from hardattn.stopping.rules import Point
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from supervision.store import SequenceStore

POINTS, FRONTIER, TABLE, PICTURE = "points.json", "frontier.json", "frontier.csv", "frontier.png"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Frontier:
    """All points of all families.

    Attributes:
        image_pixels: of a whole image.
        minutes: of training, for all networks together.
        command: words of the command line that asked for it; None: a call in Python, or an older version.
    """

    dataset: str
    target: str
    image_pixels: int
    minutes: float
    seed: int
    points: list[FrontierPoint]
    command: list[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; the frontier of a family as numbers of points."""
        number = {point: at for at, point in enumerate(self.points)}
        chosen = {
            family: [number[point] for point in points] for family, points in frontiers(self.points).items()
        }
        return asdict(self) | {"frontiers": chosen}

    @classmethod
    def read(cls, path: Path) -> Frontier:
        """What `frontier` wrote; raises CheckpointError where it is missing or damaged."""
        written = checkpoint.read_json(path, "a frontier", "hardattn frontier")
        try:
            facts = {"command": None} | written
            facts = {part.name: facts[part.name] for part in fields(cls)}
            return cls(**facts | {"points": [FrontierPoint(**point) for point in written["points"]]})
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"expected a frontier in {path}, found otherwise ({error}); make it with `hardattn frontier`"
            ) from None


@dataclass(frozen=True)
class Work:
    """What the training of all networks shares.

    Attributes:
        opened: what `data.registry.load` was called with.
        run: where `boed` leaves what it fits for glimpses of the data set's own size, and its sequences.
        folder: of the run folders.
        minutes: for each network.
        sequences: imitated instead of those that are made; None: they are made where they are missing.
        command: see `frontier`.
    """

    dataset: DataSet
    opened: dict[str, Any]
    run: Path
    folder: Path
    minutes: float
    seed: int
    device: str
    sequences: SequenceStore | None
    command: Sequence[str] | None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs, which opens the data set itself."""
        return {name: value for name, value in self.__dict__.items() if name != "dataset"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, dataset=reopen(state["opened"], None, "a data set with --workers"))

    def geometry(self, member: Member) -> Geometry:
        own: dict[str, Any] = {name: value for name, value in member.sensor.items() if name != "glimpses"}
        return replace(self.dataset.geometry, **own)

    def glimpses(self, member: Member) -> int:
        steps: int = member.sensor.get("glimpses", self.dataset.glimpses)
        return steps

    def serves(self, member: Member) -> bool:
        """Whether the given sequences are long enough for a network, and of glimpses of its size."""
        if self.sequences is None or not member.sequences:
            return True
        same = self.sequences.settings.get("geometry") == self.geometry(member).to_json()
        return same and self.sequences.steps >= self.glimpses(member)

    def asked(self, member: Member) -> dict[str, Any]:
        """What fixes the points of a network."""
        return {
            "network": asdict(member),
            "minutes": self.minutes,
            "seed": self.seed,
            "fingerprint": self.dataset.fingerprint("train", "valid", "test"),
            "sequences": self.sequences and self.sequences.settings,
        }


def frontier(
    dataset: DataSet,
    grid: Sequence[Member],
    run: Path,
    *,
    minutes: float = MINUTES,
    sequences: SequenceStore | None = None,
    seed: int = 0,
    device: str = "auto",
    command: Sequence[str] | None = None,
    workers: int = 1,
    say: Say = print,
) -> Frontier:
    """Trains and measures every network into RUN/frontier; what is done is not done again.

    Each has the same share of the minutes. Sequences that are not there are made by `boed generate`, into
    RUN or, of other glimpses than the data set's own, RUN/frontier; that takes time of its own.

    Args:
        grid: see `hardattn.experiments.frontier.grid.read_grid`.
        run: the folder of all runs of the task.
        sequences: to imitate; networks that they do not fit are left out.
        command: words of the command line that asks for it, kept for reports.
        workers: processes that train at a time, each a network; several open the data set by its name.
        say: is told what begins; of several workers what is done.

    Raises:
        SettingsError: no time, sequences that fit no network, or no workers.
        CheckpointError: a network of other settings, another time for example, is there already.
    """
    opened, folder = dict(dataset.origin or {}), run / "frontier"
    share = minutes / max(len(grid), 1)
    work = Work(dataset, opened, run, folder, share, seed, device, sequences, command)
    served = [member for member in grid if work.serves(member)]
    if not minutes > 0 or not served:
        raise SettingsError(
            f"expected minutes above 0 and networks that the sequences fit, found {minutes:g} minutes and "
            f"{len(served)} networks"
        )
    for member in grid:
        if member not in served:
            say(f"{member.name}: left out, the sequences are of other glimpses, or of fewer")
    points = _every_point(work, served, workers, say)
    facts = (dataset.name, dataset.target, dataset.geometry.height * dataset.geometry.width)
    result = Frontier(*facts, minutes, seed, points, None if command is None else list(command))
    write_json(folder / FRONTIER, result.to_json())
    write_rows(folder / TABLE, [asdict(point) for point in points])
    return result


def _every_point(work: Work, members: Sequence[Member], workers: int, say: Say) -> list[FrontierPoint]:
    """The points of networks, in their order; of those that are not known the sequences are made first."""
    if workers == 1:
        return [point for member in members for point in _points(work, member, say)]
    reopen(work.opened, None, "a data set with --workers")  # raises where no other process could
    unknown = [member for member in members if _known(work, member) is None]
    for member in unknown:
        require_minutes(_run(work, member), work.minutes)
    for member in unknown:
        if member.sequences and work.sequences is None:
            _sequences(work, member.sequences, work.geometry(member), work.glimpses(member))
    for number, _ in spread(partial(_points, work, say=_nothing), unknown, workers):
        say(f"{unknown[number].name}: {work.minutes:.1f} minutes, done")
    return [point for member in members for point in _points(work, member, say)]


def _points(work: Work, member: Member, say: Say) -> list[FrontierPoint]:
    """The points of a network; from the file that they are kept in, once they are there."""
    known = _known(work, member)
    if known is not None:
        return known
    say(f"{member.name}: {work.minutes:.1f} minutes")
    run = _run(work, member)
    _train(work, member, run)
    points = _measure(work, member, run)
    facts = {"asked": work.asked(member), "points": [asdict(point) for point in points]}
    write_json(run / POINTS, facts)
    return points


def _known(work: Work, member: Member) -> list[FrontierPoint] | None:
    """The points of a network that are kept."""
    kept = _run(work, member) / POINTS
    if not kept.is_file():
        return None
    found = checkpoint.read_json(kept)
    same = found.get("asked") == work.asked(member)
    return [FrontierPoint(**point) for point in found["points"]] if same else None


def _run(work: Work, member: Member) -> Path:
    return work.folder / f"{member.folder}-{work.seed}"


def _nothing(_: str) -> None:
    """Says nothing, in a worker."""


def _train(work: Work, member: Member, run: Path) -> None:
    require_minutes(run, work.minutes)
    options: dict[str, Any] = {
        "budget": Budget(minutes=work.minutes),
        "seed": work.seed,
        "device": work.device,
        "command": work.command,
        **member.recipe,
    }
    if member.baseline:
        train_baseline(work.dataset, run, member.baseline, **options)
        return
    geometry, glimpses = work.geometry(member), work.glimpses(member)
    if member.sequences:
        options["store"] = work.sequences or _sequences(work, member.sequences, geometry, glimpses)
    train(work.dataset, run, method=member.method, geometry=geometry, glimpses=glimpses, **options)


def _sequences(work: Work, source: str, geometry: Geometry, glimpses: int) -> SequenceStore:
    """The run's own, for the data set's own glimpses; for others, ones that are made for the frontier."""
    stem = "sequences" if source == "design" else f"sequences-{source}"
    if (geometry, glimpses) == (work.dataset.geometry, work.dataset.glimpses):
        own = work.run / f"{stem}.h5"
        return designed(own, source, work.run, geometry, glimpses, work.opened, work.device)
    glance = "-glance" if geometry.first_glance else ""
    sides = "-".join(map(str, geometry.sides or (geometry.glimpse_size,)))
    design = work.folder / f"design-{sides}-{glimpses}{glance}"
    return designed(design / f"{stem}.h5", source, design, geometry, glimpses, work.opened, work.device)


def _measure(work: Work, member: Member, run: Path) -> list[FrontierPoint]:
    """The points of a trained network; the test images are looked at here, once."""
    trained = open_trained(run, dataset=work.dataset, device=work.device)
    seen = evaluate(run, dataset=work.dataset, device=work.device)
    known = {
        (point.rule, point.threshold): point for point in measured(trained, trained.dataset["valid"]).curve
    }
    seconds = list(read_log(run / checkpoint.LOG))[-1]["seconds"]
    return [
        FrontierPoint(
            family=member.family,
            name=member.name,
            rule=point.rule,
            threshold=point.threshold,
            mflops=point.mflops,
            pixels=point.pixels or 0.0,
            valid_mflops=known[point.rule, point.threshold].mflops,
            valid_accuracy=known[point.rule, point.threshold].accuracy,
            test_accuracy=point.accuracy,
            **_ends(point),
            test_nll=point.nll,
            seconds=seconds,
            run=run.name,
            values_read=point.values_read,
            pixels_read=point.pixels_read,
        )
        for point in seen.curve
    ]


def _ends(point: Point) -> dict[str, float]:
    low, high = (point.intervals or {})["accuracy"]
    return {"test_low": low, "test_high": high}
