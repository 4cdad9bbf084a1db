"""The command lines that make the rows of a table: fit, generate, train, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.jobs import Job

ROWS = {
    "design": "designed supervision",
    "fixed-order": "fixed-order supervision",
    "ram": "REINFORCE alone",
    "random": "random glimpses",
}
LONG = "ram-long"
SUPERVISED = ("design", "fixed-order")


@dataclass(frozen=True)
class Plan:
    """What the rows of one seed have in common.

    Attributes:
        run: folder of everything that is made.
        seed: of approximations, designs and networks.
        data: options that name the data set, for example `("--dataset", "digits")`.
        sensor: options of fit, generate and train alike, for example `("--scales", "3")`.
        budget: options that end training, for example `("--minutes", "4")`.
        images: how many to design sequences for; None for all.
        device: options of every command, for example `("--device", "cpu")`.
        fit: more options of the fit, for example `("--iterations", "600")`.
        everyone: whether the training images have sequences, all of which are imitated; else those of the
            design split are, beside REINFORCE.
        designed_by: seed of the fit and the designs, where these serve several seeds; default `seed`.
    """

    run: Path
    seed: int = 0
    data: tuple[str, ...] = ()
    sensor: tuple[str, ...] = ()
    budget: tuple[str, ...] = ()
    images: int | None = None
    device: tuple[str, ...] = ()
    fit: tuple[str, ...] = ()
    everyone: bool = False
    designed_by: int | None = None

    def name(self, *parts: str) -> str:
        """Name of a job, unique among the seeds."""
        return f"seed-{self.seed}/" + "-".join(parts)

    def sequences(self, row: str) -> Path:
        """The store of a supervised row."""
        stem = "sequences-train" if self.everyone else "sequences"
        return self.run / (f"{stem}.h5" if row == "design" else f"{stem}-{row}.h5")

    def folder(self, row: str) -> Path:
        """The run folder of a row's network.

        >>> Plan(Path("runs/digits")).folder("fixed-order").name
        'hardattn-ps-nogs-sequences-fixed-order-0'
        """
        if row == LONG:
            return self.run / "long" / f"hardattn-ram-{self.seed}"
        method, fixed = self._method(), self.sequences("fixed-order").stem
        kind = {"design": method, "fixed-order": f"{method}-{fixed}"}.get(row, row)
        return self.run / f"hardattn-{kind}-{self.seed}"

    def jobs(self, rows: Sequence[str], long_budget: tuple[str, ...] = ()) -> list[Job]:
        """All commands: what takes longest, or is needed by others, first."""
        designing = self._designing()
        first = [designing._fit()] if set(rows) & set(SUPERVISED) else []
        order = sorted(rows, key=lambda row: (row != LONG, row in SUPERVISED))
        generate = [designing._generate(row) for row in rows if row in SUPERVISED]
        plain = [job for row in order if row not in SUPERVISED for job in self._learn(row, long_budget)]
        guided = [job for row in order if row in SUPERVISED for job in self._learn(row, ())]
        return [*first, *generate, *plain[:1], *guided, *plain[1:]]

    def _designing(self) -> Plan:
        """The plan whose fit and designs this one uses."""
        return self if self.designed_by is None else replace(self, seed=self.designed_by)

    def _method(self) -> str:
        """That of the supervised rows."""
        return "nogs-all" if self.everyone else "ps-nogs"

    def _fit(self) -> Job:
        command = ["-m", "boed", "fit", *self._common(self.run), *self.sensor, *self.fit]
        return Job(self.name("fit"), command)

    def _generate(self, row: str) -> Job:
        images = ["--images", "all" if self.images is None else str(self.images)]
        images += ["--split", "train"] if self.everyone else []
        command = ["-m", "boed", "generate", *self._common(self.run), *self.sensor, "--source", row, *images]
        return Job(self.name("generate", row), command, (self.name("fit"),))

    def _learn(self, row: str, long_budget: tuple[str, ...]) -> list[Job]:
        """Training and evaluation of one row."""
        folder, name = self.folder(row), self.name("train", row)
        budget = long_budget if row == LONG else self.budget
        command = ["-m", "hardattn", "train", *self._common(folder.parent), *self.sensor, *budget]
        needs: tuple[str, ...] = ()
        if row in SUPERVISED:
            command += ["--method", self._method(), "--supervise", str(self.sequences(row))]
            needs = (self._designing().name("generate", row),)
        else:
            command += ["--method", "ram" if row == LONG else row]
        evaluate = ["-m", "hardattn", "evaluate", str(folder), "--json", *self.device]
        result = folder / "evaluation.json"
        return [
            Job(name, command, needs, result),
            Job(self.name("evaluate", row), evaluate, (name,), result),
        ]

    def _common(self, run: Path) -> list[str]:
        return [*self.data, "--run", str(run), "--seed", str(self.seed), *self.device]
