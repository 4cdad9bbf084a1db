"""What the trainings of a frontier share, and one training of it: made, or taken up, in its own folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.dataset import DataSet
from data.files import write_json
from data.geometry import Geometry
from data.registry import reopen
from hardattn.baselines.training import train_baseline
from hardattn.experiments.frontier.grid import Member
from hardattn.experiments.frontier.measuring import measured_points
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.experiments.frontier.terms import Terms
from hardattn.experiments.reproduce.settings import require_minutes
from hardattn.experiments.row_sequences import designed
from hardattn.experiments.sequence_kinds import OF_TRAINING
from hardattn.loading import open_network
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.trainer import TrainingRecipe
from supervision.store import SequenceStore

POINTS = "points.json"


@dataclass(frozen=True)
class Training:
    """A network of the grid, trained once.

    Attributes:
        learning_rate: None: its recipe's.
    """

    member: Member
    seed: int
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        """For people."""
        rate = "" if self.learning_rate is None else f", learning rate {self.learning_rate:g}"
        return f"{self.member.name}{rate}, seed {self.seed}"

    @property
    def folder(self) -> str:
        rate = "" if self.learning_rate is None else f"-at-{self.learning_rate:g}"
        return f"{self.member.folder}{rate}-{self.seed}"

    @property
    def recipe(self) -> dict[str, Any]:
        """Fields of its recipe."""
        own = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return {**self.member.recipe, **own}


@dataclass(frozen=True)
class Work:
    """What the training of all networks shares.

    Attributes:
        opened: what `data.registry.load` was called with.
        run: where `boed` leaves what it fits for glimpses of the data set's own size, and its sequences.
        folder: of the run folders.
        terms: how long each lasts.
        sequences: imitated instead of those that are made; None: they are made where they are missing.
        command: see `hardattn.experiments.frontier.sweep.frontier`.
    """

    dataset: DataSet
    opened: dict[str, Any]
    run: Path
    folder: Path
    terms: Terms
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

    def asked(self, training: Training) -> dict[str, Any]:
        """What fixes the points of a training."""
        return {
            "network": asdict(training.member),
            "terms": asdict(self.terms) | {"learning_rates": training.learning_rate},
            "seed": training.seed,
            "fingerprint": self.dataset.fingerprint("train", "valid", "test"),
            "sequences": self.sequences and self.sequences.settings,
        }

    def run_of(self, training: Training) -> Path:
        return self.folder / training.folder

    def known(self, training: Training) -> list[FrontierPoint] | None:
        """The points of a training that are kept."""
        kept = self.run_of(training) / POINTS
        if not kept.is_file():
            return None
        found = checkpoint.read_json(kept)
        same = found.get("asked") == self.asked(training)
        return [FrontierPoint(**point) for point in found["points"]] if same else None

    def require_new(self, training: Training) -> None:
        """Raises CheckpointError where another time was asked for before."""
        if self.terms.minutes is not None:
            require_minutes(self.run_of(training), self.terms.minutes)

    def prepare(self, member: Member) -> SequenceStore | None:
        """What a network imitates, made where it is missing; None for one that imitates nothing.

        The run's own for the data set's own glimpses; for others, ones that are made for the frontier.
        """
        if not member.sequences or self.sequences is not None:
            return self.sequences if member.sequences else None
        source, geometry, glimpses = member.sequences, self.geometry(member), self.glimpses(member)
        stem = "sequences" if source == "design" else f"sequences-{source}"
        whose = OF_TRAINING if member.images else ""
        folder = self.run
        if (geometry, glimpses) != (self.dataset.geometry, self.dataset.glimpses):
            glance = "-glance" if geometry.first_glance else ""
            sides = "-".join(map(str, geometry.sides or (geometry.glimpse_size,)))
            folder = self.folder / f"design-{sides}-{glimpses}{glance}"
        task = (folder, geometry, glimpses, self.opened, self.device)
        path = folder / f"{stem}{whose}.h5"
        return designed(path, f"{source}{whose}", *task, images=member.images or None)

    def points(self, training: Training) -> list[FrontierPoint]:
        """The points of a training, which is done where they are not known."""
        known = self.known(training)
        if known is not None:
            return known
        self.require_new(training)
        run, member = self.run_of(training), training.member
        self._train(training, run)
        points = measured_points(run, self.dataset, member.family, member.name, self.device)
        facts = {"asked": self.asked(training), "points": [asdict(point) for point in points]}
        write_json(run / POINTS, facts)
        return points

    def validation_nll(self, training: Training) -> float:
        """Of the weights that are kept, in nats."""
        nll: float = open_network(self.run_of(training), device=self.device).about["nll"]
        return nll

    def _train(self, training: Training, run: Path) -> None:
        member, recipe = training.member, training.recipe
        batch = recipe.get("batch_size", TrainingRecipe.batch_size)
        options: dict[str, Any] = {
            "budget": self.terms.budget(len(self.dataset["train"]), batch),
            "seed": training.seed,
            "device": self.device,
            "command": self.command,
            **recipe,
        }
        if member.baseline:
            train_baseline(self.dataset, run, member.baseline, **options)
            return
        store = self.prepare(member)
        if store is not None:
            options["store"] = store
        geometry, glimpses = self.geometry(member), self.glimpses(member)
        train(self.dataset, run, method=member.method, geometry=geometry, glimpses=glimpses, **options)
