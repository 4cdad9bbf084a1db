"""Predictions from one trajectory of glimpses for each image, or from the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.readout import read_by_image
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Mode, Rollout
from hardattn.stopping.rules import Predictions


def require_trajectories(count: int) -> None:
    """Raises SettingsError for a number of trajectories below 1."""
    if count < 1:
        raise SettingsError(f"expected at least 1 trajectory, found {count}; set --trajectories")


@dataclass(frozen=True)
class Looks:
    """What was predicted at N images, and where it was looked.

    Attributes:
        predictions: what stopping rules read.
        locations: (N, M, T, 3) places of M trajectories.
    """

    predictions: Predictions
    locations: Tensor

    def read(self, geometry: Geometry) -> dict[str, Tensor]:
        """(N, T) what the first t glimpses of all trajectories read, see `data.readout.read_by_image`."""
        together = self.locations.transpose(1, 2).flatten(1, 2)  # (N, T * M, 3)
        many = self.locations.shape[1]
        return {name: each[:, many - 1 :: many] for name, each in read_by_image(together, geometry).items()}


def predictions(
    network: HardAttention,
    split: Split,
    geometry: Geometry,
    steps: int,
    *,
    mode: Mode,
    seed: int,
    trajectories: int = 1,
) -> Looks:
    """What is predicted along T glimpses at N images.

    Of several trajectories the class probabilities are averaged, and all that is predicted for stopping: all
    trajectories of an image go on or stop together. Where one would be greedy, several are drawn from the
    policy; fewer of them are the first of more.

    Args:
        steps: T.
        mode: how the locations of one trajectory are chosen.
        seed: of the draws.
        trajectories: for each image, M.

    Raises:
        SettingsError: less than one trajectory.
    """
    require_trajectories(trajectories)
    look = partial(look_at_all, network, split, geometry, steps)
    if trajectories == 1:
        return _of([look(mode=mode, seed=seed)])
    drawn: Mode = "sample" if mode == "greedy" else mode
    return _of([look(mode=drawn, seed=trajectory_seed(seed, number)) for number in range(trajectories)])


def _of(drawn: Sequence[Rollout]) -> Looks:
    """The mean of what trajectories predict."""
    locations = torch.stack([its.locations for its in drawn], 1)
    each = [Predictions.of(its) for its in drawn]
    if len(each) == 1:
        return Looks(each[0], locations)
    chances = _mean([its.log_probs.double().exp() for its in each])
    said = {head: _mean([its.said[head] for its in each]) for head in each[0].said}
    if "gain" in said:
        said["gain"] = _mean([its.said["gain"].double() for its in each])
    return Looks(Predictions(chances.log(), said), locations)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)


def trajectory_seed(seed: int, number: int) -> int:
    """Of trajectory `number` of an evaluation; other runs, with other seeds, have others.

    >>> trajectory_seed(2, 5)
    2000011
    """
    return seed * 1_000_003 + number
