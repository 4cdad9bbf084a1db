"""Weights & Biases: its environment variables say where to, WANDB_MODE=offline into RUN/wandb alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from data.logs import STEP
from data.tracking.registry import TRACKERS
from data.tracking.tracker import Parameter, RunTracker, TrackedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROJECT = "WANDB_PROJECT"


@TRACKERS.register("wandb")
class WeightsAndBiases(RunTracker):
    """Metrics against the iteration, settings and pictures of a run.

    What was tracked offline is sent by `wandb sync RUN/wandb/offline-run-*`; a training that is taken up is
    the same run there.
    """

    package = "wandb"

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self.handle = wandb.init(
            project=os.environ.get(PROJECT) or run.project,
            name=run.name,
            id=run.known or uuid4().hex[:12],
            resume="allow",
            reinit="create_new",
            dir=str(run.folder),
            settings=wandb.Settings(console="off"),
        )
        self.handle.define_metric("*", step_metric=STEP)
        self.run = self.handle.id

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        self.handle.config.update(dict(values))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.handle.log({STEP: step, **metrics})

    def figure(self, name: str, figure: Figure, step: int) -> None:
        import wandb

        from data.tracking.pictures import pixels_of

        self.handle.log({STEP: step, name: wandb.Image(pixels_of(figure))})

    def close(self, finished: bool) -> None:
        self.handle.finish(exit_code=0 if finished else 1)
