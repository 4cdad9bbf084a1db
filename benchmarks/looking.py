"""Where a finished run looks at its test images, and what it predicts there."""

from __future__ import annotations

from pathlib import Path

from data.dataset import DataSet, Split
from data.device import at_home
from hardattn.evaluation import looked_at
from hardattn.loading import Trained, open_trained
from hardattn.stopping.trajectories import Looks


def look_at_test(
    run_folder: Path, *, dataset: DataSet | None = None, device: str = "auto"
) -> tuple[Trained, Split, Looks]:
    """The run, its test images, and what it does at them.

    Args:
        run_folder: of a run that `hardattn train` made.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        GlimpseError: no such run, or not its data; or the run is that of a baseline.
    """
    run = open_trained(run_folder, dataset=dataset, device=device)
    images = at_home(run.dataset["test"], run.network.device)
    return run, images, looked_at(run, images)[0]
