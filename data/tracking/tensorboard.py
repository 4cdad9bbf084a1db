"""TensorBoard: event files in RUN/tensorboard, by the writer of PyTorch; `tensorboard --logdir runs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data.tracking.registry import TRACKERS
from data.tracking.tracker import Parameter, RunTracker, TrackedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "tensorboard"


@TRACKERS.register("tensorboard")
class TensorBoard(RunTracker):
    """Scalars, hyperparameters and images of a run.

    A training that is taken up goes on in a file of its own, beside those before; one that begins anew in the
    same folder makes TensorBoard pass over what is there.
    """

    package = "tensorboard"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        begins = None if run.known else 0
        self.writer = SummaryWriter(str(run.folder / FOLDER), purge_step=begins)
        self.run = FOLDER

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        from torch.utils.tensorboard.summary import hparams

        file: Any = self.writer.file_writer
        for summary in hparams(dict(values), {}):
            file.add_summary(summary)
        self.writer.flush()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def figure(self, name: str, figure: Figure, step: int) -> None:
        from data.tracking.pictures import pixels_of

        self.writer.add_image(name, pixels_of(figure), step, dataformats="HWC")

    def close(self, finished: bool) -> None:
        self.writer.close()
