"""The networks whose stopping is compared: those that imitate designs, others that are trained to halt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.jobs import Job
from data.errors import SettingsError
from data.logs import read_log
from data.registry import reopen
from hardattn.experiments.workers import spread
from hardattn.loading import open_network
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe
from hardattn.training.settings import read_run
from supervision.store import SequenceStore

IMAGES = 600  # that are designed for
HALTS = "ps-act"
HALTING = tuple(name for name, method in METHODS.items() if method.halts)
OF_HALTING = ("halts", "ponder_cost", "loss_at")  # what the two methods do not share


def jobs_of(
    attributes: Sequence[str], out: Path, data_root: Path | None, seeds: int, training: Sequence[str]
) -> tuple[list[Job], list[Path]]:
    """One fit of all attributes, designs for each, and a training for each seed, the first one of all first.

    Args:
        out: gets a folder for each attribute.
        training: options of `hardattn train`.

    Returns:
        the commands, and the run folders of the trainings.
    """
    root = [] if data_root is None else ["--data-root", str(data_root)]
    faces, fit = ["--dataset", "celebahq", *root, "--attribute"], "fit"
    where = out if len(attributes) > 1 else out / attributes[0]
    jobs = [Job(fit, ["-m", "boed", "fit", *faces, ",".join(attributes), "--run", str(where)])]
    tasks = {name: [*faces, name, "--run", str(out / name)] for name in attributes}
    for name, task in tasks.items():
        call = ["-m", "boed", "generate", *task, "--images", str(IMAGES)]
        jobs.append(Job(f"generate-{name}", call, (fit,)))
    cells = [(name, seed) for seed in range(seeds) for name in attributes]
    for name, seed in cells:
        call = ["-m", "hardattn", "train", *tasks[name], "--supervise", "--seed", str(seed), *training]
        jobs.append(Job(f"train-{name}-{seed}", call, (f"generate-{name}",)))
    return jobs, [out / name / f"hardattn-ps-nogs-{seed}" for name, seed in cells]


@dataclass(frozen=True)
class Halting:
    """The training of a network that halts, beside the run of one that does not.

    It imitates the same sequences, has the same recipe but for halting, the same seed and as many iterations.

    Attributes:
        beside: the run folder.
        ponder_cost: nats for each glimpse.
        iterations: other than those of the run; None: as many.
        folder: of all these networks.
        device: to train on.
    """

    beside: Path
    ponder_cost: float
    iterations: int | None
    folder: Path
    device: str

    def trained(self) -> Path:
        """Trains it, or takes it up; returns its folder.

        Raises:
            SettingsError: the run imitates no sequences that are kept in a file.
            GlimpseError: the run or its data are not there.
        """
        run, about = open_network(self.beside, device="cpu"), read_run(self.beside)
        settings = run.glimpsing()[1]
        imitated = about.imitated or {}
        if imitated.get("store") is None:
            raise SettingsError(
                f"expected a run that imitates sequences of a file in {self.beside}, found none"
            )
        dataset = reopen(run.origin, None, str(self.beside))
        iterations = self.iterations or run.log[-1]["iteration"]
        epochs = (iterations - 0.5) * settings.recipe.batch_size / len(dataset["train"])  # rounded up to it
        name = f"{settings.target}-{HALTS}-{self.ponder_cost:g}-{settings.seed}"
        return train(
            dataset,
            self.folder / name,
            method=HALTS,
            store=SequenceStore.read(self.beside.parent / imitated["store"]),
            geometry=settings.geometry,
            glimpses=settings.glimpses,
            supervised_images=imitated.get("supervised_images"),
            budget=Budget(epochs=epochs),
            seed=settings.seed,
            device=self.device,
            ponder_cost=self.ponder_cost,
            **_chosen(settings.recipe, settings.method, dataset.symmetric, dataset.aligned),
        )


def _chosen(recipe: Recipe, method: str, symmetric: bool, aligned: bool) -> dict[str, Any]:
    """What a recipe has that is not what suits its method, but for what has to do with halting."""
    suited = Recipe.suited(METHODS[method], symmetric=symmetric, aligned=aligned)
    names = [each.name for each in fields(Recipe) if each.name not in OF_HALTING]
    return {name: getattr(recipe, name) for name in names if getattr(recipe, name) != getattr(suited, name)}


def halting_runs(
    beside: Sequence[Path],
    ponder_costs: Sequence[float],
    iterations: int | None,
    folder: Path,
    device: str,
    at_once: int,
    say: Callable[[str], None],
) -> list[Path]:
    """The networks that halt beside runs of those that do not, of each ponder cost, trained where missing.

    Args:
        beside: run folders; those of networks that halt need none.
        iterations: see `Halting`; 0: none are trained.
    """
    if iterations == 0:
        return []
    others = [run for run in beside if read_run(run).settings.get("method") not in HALTING]
    wanted = [Halting(run, cost, iterations, folder, device) for cost in ponder_costs for run in others]
    made = dict[int, Path]()
    for number, path in spread(_trained, wanted, at_once):
        made[number] = path
        seconds = list(read_log(path / checkpoint.LOG))[-1]["seconds"]
        say(f"{path.name}: {seconds:.0f} s")
    return [made[number] for number in sorted(made)]


def _trained(wanted: Halting) -> Path:
    return wanted.trained()
