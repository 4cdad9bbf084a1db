"""Distillation: a network that sees the whole image tells the one with glimpses how sure to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.nn.functional import one_hot

from data.dataset import DataSet, Split
from data.errors import SettingsError
from hardattn.baselines.layers import Baseline
from hardattn.baselines.training import read_at_exits
from hardattn.loading import TrainedNetwork, open_trained
from hardattn.training.checkpoint import weights_digest
from hardattn.training.choices import TEACHER_SHARE
from hardattn.training.settings import Distillation


@dataclass(frozen=True)
class Teacher:
    r"""A trained baseline, whose class probabilities are mixed into the labels:

    $p = (1 - a)\,[\theta] + a\, p_\mathrm{teacher}(\cdot \mid x)$

    The cross-entropy of every prediction to p, whatever t, is the loss of Hinton, Vinyals and Dean 2015
    (arXiv 1503.02531) at temperature 1. A mirrored image has the probabilities of the image.

    Args:
        run: of the baseline, see `teacher_of`.
        share: a, above 0 and at most 1.

    Raises:
        SettingsError: another share.
    """

    run: TrainedNetwork
    share: float = TEACHER_SHARE

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SettingsError(f"expected --distil-share above 0 and at most 1, found {self.share}")

    @property
    def network(self) -> Baseline:
        """The baseline; raises SettingsError where the run is of another network."""
        if isinstance(self.run.network, Baseline):
            return self.run.network
        raise SettingsError(
            f"expected the run of a baseline for --distil, found one of {self.run.method}; make one with "
            "`hardattn train --baseline`"
        )

    def settings(self) -> Distillation:
        """What identifies it in the settings of a run."""
        return Distillation(self.run.method, weights_digest(self.network), self.share)

    def targets(self, split: Split) -> Tensor:
        """(N, K) the mixture p for every image of a split, in evaluation mode; on the CPU."""
        network, settings = self.run.whole_image()
        taught = read_at_exits(network, split, settings)[:, -1].softmax(-1)
        return mixture(split.labels.cpu(), taught, self.share)


def mixture(labels: Tensor, taught: Tensor, share: float) -> Tensor:
    """(N, K) of labels (N,) and probabilities (N, K), which have the share.

    >>> import torch
    >>> mixture(torch.tensor([1]), torch.tensor([[0.5, 0.5]]), 0.5).tolist()
    [[0.25, 0.75]]
    """
    return (1 - share) * one_hot(labels, taught.shape[1]) + share * taught


def teacher_of(
    run_folder: Path, *, dataset: DataSet, share: float = TEACHER_SHARE, device: str = "auto"
) -> Teacher:
    """The baseline that `hardattn train --baseline` left in a folder, as a teacher for the same task.

    Raises:
        SettingsError: the run is not of a baseline, or an impossible share.
        CheckpointError: it is missing, damaged or of another task.
    """
    teacher = Teacher(open_trained(run_folder, dataset=dataset, device=device), share)
    _ = teacher.network  # refused now, and not after some training
    return teacher
