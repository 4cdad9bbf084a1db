"""The mean of all images of a split."""

from __future__ import annotations

import numpy as np
import torch

from data.dataset import Split


def mean_image(split: Split) -> np.ndarray:
    """(H, W, C) uint8: the mean of all images of a split."""
    total = sum(part.sum(0, dtype=torch.int64) for part in split.images.cpu().split(100))
    mean = torch.as_tensor(total).double() / len(split)
    return mean.round().to(torch.uint8).numpy()
