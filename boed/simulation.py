"""A task from a generative model of images that someone wrote in Pyro."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from pyro.infer import Predictive
from torch import Tensor

from data.arrays import whole_number
from data.dataset import DataSet
from data.errors import DataError, SettingsError, one_line
from data.kinds import require_dataset

IMAGES, FEWEST, AT_ONCE = 8000, 40, 500
FARTHEST = 1.0  # beyond [0, 1] a value is no noise that a sensor cuts off

ImageModel = Callable[[], Any]
"""A Pyro model of one image, with the sites "image" and "label"."""


def simulated(
    model: ImageModel,
    *,
    images: int = IMAGES,
    parallel: bool = False,
    classes: Iterable[object] | None = None,
    name: str = "simulated",
    seed: int = 0,
    **task: Any,
) -> DataSet:
    r"""Draws from a Pyro model as a task: its prior predictive, parted into the four splits.

    $(x_n, \theta_n) \sim p(x, \theta), \quad n = 1..N$

    The model has no arguments. Its site "image" is one image (H, W) or (H, W, C) in [0, 1], what lies
    outside is cut off; its site "label" is a number 0 to K - 1. Either may be sampled or deterministic, and
    whatever else the model samples is not looked at.

    Args:
        model: in Pyro.
        images: N, of all splits together.
        parallel: draw many at once, as in `pyro.infer.Predictive`: every statement of the model then has to
            broadcast over a first axis, and "image" to be of event dimension 2 or 3.
        classes: names of the K classes; default their numbers.
        name: of the task.
        seed: of the draws and of how they are parted.
        task: `valid`, `test`, `design`, `glimpse_size`, `glimpses`, `aligned` and `symmetric` of
            `DataSet.from_arrays`.

    Raises:
        DataError: there is no such site, or it is of another shape, type or range.
        SettingsError: the model takes arguments, or a number is not of its kind.

    >>> import pyro
    >>> from pyro.distributions import Bernoulli, Normal
    >>> def model():
    ...     label = pyro.sample("label", Bernoulli(torch.tensor(0.5)))
    ...     mean = torch.zeros(10, 10) + label[..., None, None]
    ...     pyro.sample("image", Normal(mean, 0.1).to_event(2))
    >>> simulated(model, images=60, parallel=True)["train"]
    <Split of 33 images 10 x 10 x 1 on cpu>
    """
    _require_no_arguments(model)
    count = whole_number(images, "images", FEWEST)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(whole_number(seed, "seed", 0))
        drawn = list(_draws(model, count, parallel))
    pixels, labels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return DataSet.from_arrays(pixels, labels, classes=classes, name=name, seed=seed, **task)


def task_of(images: DataSet | ImageModel, *, seed: int) -> DataSet:
    """The data set, or draws of the model.

    Raises:
        SettingsError: it is neither.
    """
    if isinstance(images, DataSet):
        return images
    if isinstance(images, type) or not callable(images):
        require_dataset(images)
    return simulated(images, seed=seed)


def _draws(model: ImageModel, count: int, parallel: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (n, H, W[, C]) uint8 and labels (n,), some at a time."""
    for start in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - start)
        sites = _predicted(model, some, parallel)
        missing = [site for site in ("image", "label") if site not in sites]
        if missing:
            raise DataError(
                f"expected a model with the sites image and label, found none of {', '.join(missing)}; name "
                "them so"
            )
        yield _pixels(sites["image"]), _classes(sites["label"], some)


def _predicted(model: ImageModel, count: int, parallel: bool) -> dict[str, Tensor]:
    """Values of the sites, by draws from the prior."""
    predictive = Predictive(model, num_samples=count, return_sites=("image", "label"), parallel=parallel)
    try:
        return predictive()
    except (RuntimeError, ValueError) as error:
        if not parallel:
            raise
        raise DataError(
            f"expected a model whose statements broadcast over a first axis, found: "
            f"{' '.join(str(error).split())}; rewrite them, or leave parallel out"
        ) from error


def _pixels(values: Tensor) -> np.ndarray:
    """uint8 of values (n, H, W[, C]) in [0, 1]."""
    if values.dim() not in (3, 4):
        raise DataError(
            f"expected a site image of shape (H, W) or (H, W, C), found {tuple(values.shape[1:])}; reshape it"
        )
    low, high = values.min().item(), values.max().item()
    if not -FARTHEST <= low <= high <= 1 + FARTHEST:  # nor where one is no number
        raise DataError(f"expected a site image in [0, 1], found {low:.4g} to {high:.4g}; scale it")
    return (values.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def _classes(values: Tensor, count: int) -> np.ndarray:
    """(n,) int64 of labels, which may be floating point as those of a Bernoulli are."""
    if values.numel() != count:
        raise DataError(
            f"expected a site label that is one number, found shape {tuple(values.shape[1:])}; sample one"
        )
    whole = values.flatten().round().long()
    between = values.flatten()[values.flatten() != whole]
    if len(between):
        raise DataError(
            f"expected a site label of whole numbers 0 to K - 1, found {between[0].item():.4g}; number the "
            "classes"
        )
    return whole.cpu().numpy()


def _require_no_arguments(model: ImageModel) -> None:
    """Raises SettingsError for what is no model, or cannot be called without arguments."""
    try:
        inspect.signature(model).bind()
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"expected a Pyro model that is called without arguments, found {one_line(model)} ({error}); "
            "give them by functools.partial"
        ) from None
