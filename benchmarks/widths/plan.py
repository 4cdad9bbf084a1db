"""The command lines of `benchmarks.widths`: fit, design and train, with one width, several, or a retina."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.jobs import Job

ONE, SEVERAL, RETINA = "one width", "widths", "retina"
METHOD, RETINA_SCALES = "nogs-all", 3


@dataclass(frozen=True)
class Arm:
    """One of the sensors that are compared, everything else being the same.

    Attributes:
        name: of the row.
        sensor: options of `boed fit` and `boed generate`.
    """

    name: str
    sensor: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Of what it makes.

        >>> Arm("one width").folder
        'one-width'
        """
        return self.name.replace(" ", "-")

    @classmethod
    def all(cls, sides: str, retina: bool) -> list[Arm]:
        """The arms of a comparison, one width first."""
        wide = cls(RETINA, ("--scales", str(RETINA_SCALES)))
        return [cls(ONE), cls(SEVERAL, ("--sides", sides)), *([wide] if retina else [])]


@dataclass(frozen=True)
class Plan:
    """What all arms have in common.

    Attributes:
        run: folder of everything that is made.
        data: options that name the data set, without the attribute.
        attributes: of the same images; none where the data set has one target alone.
        sensor: options of the sensor that all arms share.
        fit: more options of the fit.
        images: how many training images to design for, or "all".
        iterations, policy, seeds: of the networks.
        budget: options that make so many iterations.
        device: option of every command.
    """

    run: Path
    data: tuple[str, ...]
    attributes: tuple[str, ...]
    sensor: tuple[str, ...]
    fit: tuple[str, ...]
    images: str
    iterations: int
    policy: str
    seeds: int
    budget: tuple[str, ...]
    device: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str | None, ...]:
        """Of each network; None where there is one alone."""
        return self.attributes or (None,)

    def task(self, arm: Arm, target: str | None) -> Path:
        """Folder of what one arm makes for one target."""
        base = self.run / arm.folder
        return base if target is None else base / target

    def store(self, arm: Arm, target: str | None) -> Path:
        """Of the designs."""
        return self.task(arm, target) / "sequences-train.h5"

    def network(self, arm: Arm, target: str | None, seed: int) -> Path:
        """The run folder of a network."""
        return self.task(arm, target) / f"hardattn-{self._name}-{seed}"

    @property
    def _name(self) -> str:
        return f"{self.policy}-{self.iterations}"

    def jobs(self, arms: Sequence[Arm]) -> list[Job]:
        """All commands: fits, designs, then networks seed by seed, those of a pair one after the other."""
        fits = [self._fit(arm) for arm in arms]
        designs = [self._design(arm, target) for target in self.targets for arm in arms]
        networks = [
            self._train(arm, target, seed)
            for seed in range(self.seeds)
            for target in self.targets
            for arm in arms
        ]
        return [*fits, *designs, *networks]

    def _fit(self, arm: Arm) -> Job:
        """One for all attributes, or one."""
        together, folder = ",".join(self.attributes) or None, self.task(arm, None)
        if len(self.attributes) == 1:
            folder = self.task(arm, self.attributes[0])
        command = ["boed", "fit", *self._task(together, folder), *self.sensor, *arm.sensor, *self.fit]
        return Job(f"{arm.folder}/fit", ["-m", *command])

    def _design(self, arm: Arm, target: str | None) -> Job:
        task, name = self._task(target, self.task(arm, target)), arm.folder
        images = ["--split", "train", "--images", self.images, "--out", str(self.store(arm, target))]
        command = ["boed", "generate", *task, *self.sensor, *arm.sensor, *images]
        return Job(f"{name}/designs{suffix(target)}", ["-m", *command], (f"{name}/fit",))

    def _train(self, arm: Arm, target: str | None, seed: int) -> Job:
        task, name = self._task(target, self.task(arm, target)), arm.folder
        command = ["hardattn", "train", *task, *self.sensor, "--method", METHOD, "--policy", self.policy]
        command += ["--supervise", str(self.store(arm, target)), *self.budget]
        command += ["--name", self._name, "--seed", str(seed)]
        needs = (f"{name}/designs{suffix(target)}",)
        return Job(f"{name}/{self._name}{suffix(target)}-{seed}", ["-m", *command], needs)

    def _task(self, target: str | None, run: Path) -> list[str]:
        attribute = [] if target is None else ["--attribute", target]
        return [*self.data, *attribute, "--run", str(run), *self.device]


def suffix(target: str | None) -> str:
    """What the name of a job adds for a target."""
    return "" if target is None else f"-{target}"
