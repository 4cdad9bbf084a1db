"""Predictions from one trajectory of glimpses for each image, or from the mean of several."""

from __future__ import annotations

import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry
from hardattn.learner import look_at_all
from hardattn.network import HardAttention
from hardattn.rollout import Mode


def require_trajectories(count: int) -> None:
    """Raises SettingsError for a number of trajectories below 1."""
    if count < 1:
        raise SettingsError(f"expected at least 1 trajectory, found {count}; set --trajectories")


def predictions(
    network: HardAttention,
    split: Split,
    geometry: Geometry,
    steps: int,
    *,
    mode: Mode,
    seed: int,
    trajectories: int = 1,
) -> tuple[Tensor, Tensor]:
    """Logits (N, T, K) after every glimpse, and the gains (N, T) predicted before each, in nats.

    Of several trajectories the class probabilities are averaged (the logits are the log of their mean) and
    the predicted gains: all trajectories of an image go on or stop together. Where one would be greedy,
    several are drawn from the policy; fewer of them are the first of more.

    Args:
        steps: T.
        mode: how the locations of one trajectory are chosen.
        seed: of the draws.
        trajectories: for each image.

    Raises:
        SettingsError: less than one trajectory.
    """
    require_trajectories(trajectories)
    if trajectories == 1:
        seen = look_at_all(network, split, geometry, steps, mode=mode, seed=seed)
        return seen.logits, seen.gain
    drawn: Mode = "sample" if mode == "greedy" else mode
    total, gain = torch.zeros(()), torch.zeros(())
    for number in range(trajectories):
        own = trajectory_seed(seed, number)
        seen = look_at_all(network, split, geometry, steps, mode=drawn, seed=own)
        total, gain = total + seen.logits.double().softmax(-1), gain + seen.gain.double()
    return (total / trajectories).log(), gain / trajectories


def trajectory_seed(seed: int, number: int) -> int:
    """Of trajectory `number` of an evaluation; other runs, with other seeds, have others.

    >>> trajectory_seed(2, 5)
    2000011
    """
    return seed * 1_000_003 + number
