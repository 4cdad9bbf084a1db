"""A trained network in Python: train it, evaluate it, let it predict, save it and open it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.dataset import DataSet, Split
from data.errors import SettingsError
from data.files import write_text
from data.kinds import require_dataset, require_split
from data.logs import log_text
from data.registry import reopen
from data.tensors import save_tensors
from data.tracking.registry import require_tracker
from hardattn.evaluation import Evaluation, limits, measured
from hardattn.exporting.export import Exported, export
from hardattn.exporting.registry import DEFAULT
from hardattn.images import Images
from hardattn.loading import TrainedNetwork, open_network
from hardattn.objectives.methods import method_of
from hardattn.prediction import Answers, evaluating, predict
from hardattn.runs import train as train_run
from hardattn.stopping.stop import Stop
from hardattn.stopping.trajectories import require_trajectories
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.distributed import Division
from hardattn.training.run_folder import Tracker, open_run
from supervision.source import SequenceSource
from supervision.store import SequenceStore


@dataclass(frozen=True)
class Model:
    """A trained network, with all that it needs to look at images; from `train` or `load`.

    Attributes:
        run: network, settings and log of the training.
        dataset: that it was trained on; None: it was loaded without.
    """

    run: TrainedNetwork
    dataset: DataSet | None = None

    def __repr__(self) -> str:
        its = self.run.settings
        return f"Model({its.dataset} {its.target}, {its.name}, seed {its.seed})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.run.settings.classes

    def evaluate(
        self,
        split: Split | None = None,
        *,
        trajectories: int = 1,
        stop: Sequence[str] = (),
        budget_glimpses: float | None = None,
        budget_mflops: float | None = None,
    ) -> Evaluation:
        """Accuracy after every glimpse, and accuracy against compute; nothing is written.

        Args:
            split: images with labels; default the test images of the data set of the training.
            trajectories, stop, budget_glimpses, budget_mflops: see `hardattn.evaluation.evaluate`.

        Raises:
            SettingsError: see `hardattn.evaluation.evaluate`; or a split of another task.
            DataError: there is no split, and the data set is none of the registry or not where it was.
        """
        require_trajectories(trajectories)
        images, budget = self._test() if split is None else split, limits(budget_glimpses, budget_mflops)
        require_split(images)
        with evaluating(self.run.network):
            return measured(self.run, images, trajectories, stop=stop, budget=budget)

    def _test(self) -> Split:
        return (self.dataset or reopen(self.run.origin, None, str(self)))["test"]

    def predict(self, images: Images, stop: Stop | str | None = None) -> Answers:
        """Looks at images until a rule says stop: those that have stopped leave the batch.

        Args:
            images: a batch (N, H, W, C) of uint8, a list of differently sized ones, or paths. Those of
                another size than the task's are brought to it as photographs of a data set are: their central
                square, resampled. See `hardattn.images.batch_of`.
            stop: for example `hardattn.Gain(0.02)` or "gain=0.02"; None: after all T glimpses. `stop_within`
                finds one.

        Raises:
            DataError: what is given is no image.
            SettingsError: the rule is not one for this network.
        """
        return predict(self.run, images, Stop.parsed(stop) if isinstance(stop, str) else stop)

    def stop_within(self, glimpses: float, *rules: str) -> Stop:
        """The rule and threshold that did best on the validation images within a mean number of glimpses.

        Args:
            glimpses: the largest mean.
            rules: to choose from, names of `hardattn.stopping.registry.RULES`; all of them without.

        Raises:
            SettingsError: no rule takes so few, or the network is a baseline.
        """
        self.run.glimpsing()
        return Stop.within(self.run.about["stopping"], glimpses=glimpses, rules=rules)

    def export(
        self,
        file: str | PathLike[str],
        *,
        format: str = DEFAULT,
        batch: int | None = None,
        stop: Stop | str | None = None,
    ) -> Exported:
        """Writes one step of the network for other programs, and FILE.json, which says how to run it.

        Args:
            file: that is written.
            format: "onnx", which needs the extra of that name, or "torch".
            batch: how many images go into a step; None: any number.
            stop: when to stop looking, as in `predict`; it is noted in FILE.json.

        Raises:
            SettingsError: see `hardattn.exporting.export.export`.
        """
        rule = Stop.parsed(stop) if isinstance(stop, str) else stop
        return export(self.run, Path(file), kind=format, batch=batch, stop=rule)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes weights, settings and log, for `load` and the command line.

        Raises:
            CheckpointError: another run is there.
        """
        path = Path(folder)
        open_run(path, self.run.settings, self.run.origin)
        write_text(path / checkpoint.LOG, log_text(self.run.log))
        save_tensors(path / checkpoint.MODEL, self.run.network.state_dict(), self.run.about)
        return path


def train(
    dataset: DataSet,
    designs: SequenceSource | str | PathLike[str] | None = None,
    *,
    folder: str | PathLike[str] | None = None,
    method: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    device: str = "auto",
    tracker: Tracker | str | None = None,
    **options: Any,
) -> Model:
    """Trains a hard-attention network, with designed glimpse sequences to imitate or without.

    Args:
        dataset: from `data.load` or `DataSet.from_arrays`; its train and valid splits are used, and the
            design split with sequences of its images.
        designs: sequences to imitate: of `boed.design`, a store, or the file that they are in.
        folder: where the run is kept. An interrupted one is taken up by the same call. None: nothing is
            kept but the model, in memory, and what is interrupted is lost.
        method: a name of `hardattn.objectives.registry.METHODS`; default ps-nogs with designs, else ram.
        budget: default 3,000 iterations.
        seed: of weights, batches and draws.
        device: auto, cpu or cuda.
        tracker: a name, as "tensorboard", whose files are in the folder; or an object whose
            `log(metrics, step)` is called with the figures of every check.
        options: the others of `hardattn.runs.train`, `glimpses` for example, and fields of
            `hardattn.training.recipe.Recipe`.

    Raises:
        SettingsError, StoreError, CheckpointError: before anything is written.
        UnfinishedError: the time limit was reached.

    >>> import numpy as np
    >>> from hardattn.stopping.stop import Gain
    >>> images = np.random.default_rng(0).integers(0, 256, (60, 20, 20), dtype=np.uint8)
    >>> model = train(DataSet.from_arrays(images, np.arange(60) % 3), budget=Budget(epochs=1), device="cpu")
    >>> answers = model.predict(images[:4], stop=Gain(100.0))
    >>> len(answers.names), answers.taken.tolist()
    (4, [1, 1, 1, 1])
    """
    require_dataset(dataset)
    if not isinstance(budget, Budget | None):
        raise SettingsError(f"expected a budget such as hardattn.Budget(minutes=2), found {budget!r}")
    require_tracker(tracker, kept=folder is not None)
    if folder is None and options.get("time_limit") is not None:
        raise SettingsError("expected a folder with a time limit, found none to go on in; name one")
    store = SequenceStore.read(Path(designs)) if isinstance(designs, (str, PathLike)) else designs
    name = method_of(method, store is not None)
    with _kept_in(folder, f"{name}-{seed}") as run_folder:
        train_run(
            dataset,
            run_folder,
            method=name,
            store=store,
            budget=budget,
            seed=seed,
            device=device,
            tracker=tracker,
            **options,
        )
        return Model(open_network(run_folder, device=device), dataset)


def load(folder: str | PathLike[str], *, device: str = "auto") -> Model:
    """Opens what `Model.save`, `train` or `hardattn train` wrote; no data set is needed.

    Raises:
        CheckpointError: files are missing, damaged or of another version.
    """
    return Model(open_network(Path(folder), device=device))


@contextmanager
def _kept_in(folder: str | PathLike[str] | None, name: str) -> Iterator[Path]:
    """The folder, or one of this name that is gone afterwards."""
    if folder is not None:
        yield Path(folder)
        return
    if Division.here().processes > 1:
        raise SettingsError("expected folder= where several processes train together, found none; name one")
    with TemporaryDirectory(prefix="hardattn-") as temporary:
        yield Path(temporary) / name
