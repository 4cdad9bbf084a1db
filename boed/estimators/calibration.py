"""What the value of a place means: the map that chooses, read as the cross-entropy that follows.

A map orders the places; its smallest value is too small, since it was sought among noisy ones (the winner's
curse), and the average map knows nothing of an image but where it was looked at. Both are set right on images
of the bank, which q has not seen, each left out of its own completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scipy.optimize import isotonic_regression
from torch import Tensor

NOISE = 0.05  # nats by which the mean of a step may be off
LEAST_CONTRAST = 0.05  # the order of the places is kept, however little their differences tell


class Calibration(NamedTuple):
    r"""$\mathrm{EPE}(l) = \max(0, \alpha + \beta H[q_t] + \gamma\, m(l))$, in nats, of a map m of one step.

    Args:
        offset: alpha, nats.
        entropy: beta.
        contrast: gamma > 0, so that the order of the places stays.

    >>> import torch
    >>> Calibration(0.1, 0.5, 0.2)(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0]))
    tensor([[0.8000, 1.0000]])
    """

    offset: float = 0.0
    entropy: float = 0.0
    contrast: float = 1.0

    def __call__(self, scores: Tensor, entropy: Tensor) -> Tensor:
        """(B, L) expected posterior entropies of maps (B, L) of images whose q has the entropy (B,)."""
        level = self.offset + self.entropy * entropy[:, None]
        return (level + self.contrast * scores).clamp(min=0)


class Levels(NamedTuple):
    """By how much the offsets of calibrations were moved on images of another split than the bank's.

    Args:
        shifts: (T,) nats; empty where they were not.
        split: fingerprint of these images.
    """

    shifts: tuple[float, ...] = ()
    split: str = ""


def calibration_of(scores: Tensor, realised: Tensor, entropy: Tensor) -> Calibration:
    r"""The least-squares reading of maps, for the place that each of them chooses.

    Differences between the places of an image are as large as the realised ones on average,
    $\gamma = \sum_{bl} \tilde m_{bl} \tilde s_{bl} / \sum_{bl} \tilde m_{bl}^2$, where m and s are less their
    means over the places of image b. Given these, $\alpha$ and $\beta \ge 0$ regress what is realised at the
    chosen places, $s_b - \gamma\, m_b$, on the entropy: on average over the images, prediction and
    realisation agree there.

    Args:
        scores: (B, L) maps m, infinite where a place must not be taken.
        realised: (B, L) cross-entropies s in nats, after a glimpse at each place.
        entropy: (B,) of q before the glimpse, nats.

    >>> import torch
    >>> maps = torch.tensor([[1.0, 3.0], [4.0, 2.0]], dtype=torch.float64)
    >>> calibration_of(maps, 0.5 * maps + 0.25, torch.ones(2, dtype=torch.float64))
    Calibration(offset=0.25, entropy=0.0, contrast=0.5)
    """
    own, true = (contrasts(part, scores.isfinite()) for part in (scores, realised))
    contrast = float((own * true).sum() / own.square().sum().clamp(min=1e-12))
    contrast = max(contrast, LEAST_CONTRAST)
    chosen = scores.argmin(1, keepdim=True)
    rest = (realised - contrast * scores).gather(1, chosen).squeeze(1).double()
    spread = (entropy - entropy.mean()).double()
    slope = float((spread * rest).sum() / spread.square().sum().clamp(min=1e-12))
    slope = max(slope, 0.0)
    return Calibration(float(rest.mean() - slope * entropy.mean()), slope, contrast)


def falling(reads: Sequence[Calibration], levels: Sequence[float]) -> list[Calibration]:
    """Readings by which the mean value of the chosen place does not rise from step to step.

    Another glimpse cannot be expected to tell less. Where the means of a sample rise all the same,
    neighbouring steps get their common mean (isotonic regression: Barlow and Brunk 1972). A rise that this
    would not mend by `NOISE` is no chance: q is wrong there, and the value says so.

    Args:
        reads: of T steps.
        levels: T means of the values at the chosen places, nats, as these readings have them.

    >>> [round(read.offset, 3) for read in falling([Calibration()] * 3, [0.5, 0.25, 0.29])]
    [0.0, 0.02, -0.02]
    """
    fallen = isotonic_regression(levels, increasing=False).x.tolist()
    changes = [new - old for new, old in zip(fallen, levels, strict=True)]
    changes = [change if abs(change) <= NOISE else 0.0 for change in changes]
    return [read._replace(offset=read.offset + by) for read, by in zip(reads, changes, strict=True)]


def contrasts(values: Tensor, known: Tensor) -> Tensor:
    """(B, L) differences from the mean over the known places of each image; 0 elsewhere.

    >>> import torch
    >>> contrasts(torch.tensor([[1.0, 3.0, torch.inf]]), torch.tensor([[True, True, False]]))
    tensor([[-1.,  1.,  0.]], dtype=torch.float64)
    """
    inside = values.double().where(known, 0)
    return (inside - inside.sum(1, keepdim=True) / known.sum(1, keepdim=True)).where(known, 0)
