"""Trackio: its own local store, or where its environment variables say; `trackio show --project PROJECT`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

from data.tracking.registry import TRACKERS
from data.tracking.tracker import Parameter, RunTracker, TrackedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def _beside_the_output() -> Iterator[None]:
    """What the package prints is not what the command was asked for."""
    with redirect_stdout(sys.stderr):
        yield


@TRACKERS.register("trackio")
class Trackio(RunTracker):
    """Metrics, settings and pictures of a run; it is found again by its name in the project."""

    package = "trackio"

    def __init__(self, run: TrackedRun) -> None:
        self.tracked, self.run = run, run.known or run.name

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        with _beside_the_output():
            import trackio

            self.handle = trackio.init(
                self.tracked.project,
                self.run,
                config=dict(values),
                resume="must" if self.tracked.known else "never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        with _beside_the_output():
            self.handle.log(dict(metrics), step=step)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        with _beside_the_output():
            import trackio

            from data.tracking.pictures import pixels_of

            self.handle.log({name: trackio.Image(pixels_of(figure))}, step=step)

    def close(self, finished: bool) -> None:
        with _beside_the_output():
            import trackio

            trackio.finish()  # and it does not do so once more when the process ends
