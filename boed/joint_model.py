"""The generative model that q and r belong to: an image, its label and its glimpses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import pyro
import torch
from pyro.distributions import Delta, Normal, TorchDistribution
from pyro.poutine.indep_messenger import IndepMessenger
from torch import Tensor

from data.dataset import Split
from data.retina import Retina

PLATES = ("images", "attributes", "prefixes")
"""Plates of labels, from the last axis on; those of the model are the first two."""


class JointModel:
    r"""p(image, label, glimpses | places), a Pyro model, for images that a split has samples of.

    $n \sim \mathrm{Uniform}(1..M), \quad \theta = \theta_n, \quad
    y_i \sim \mathcal N(\mathrm{sensor}(x_n, l_i), \sigma^2), \quad i \le t$

    The site "image" is the number of an image, "label" its label and "glimpses" what the sensor shows of it.
    The plate "images" is over B independent draws, each with places of its own. q is the amortised guide of
    this model, trained by `boed.fitting.forward_kl.ForwardKL`, and the weights of retrieval are those of its
    posterior given the glimpses.

    Args:
        split: images with labels (N,), or (N, A) of A attributes, over which there is a plate "attributes".
        retina: the sensor.
        rows: (M,) those of the images that the model has; default all.

    >>> split = Split(torch.zeros(9, 8, 8, 1, dtype=torch.uint8), torch.arange(9), torch.arange(9), "")
    >>> model = JointModel(split, Retina(4))
    >>> sites = pyro.poutine.trace(model).get_trace(torch.tensor([[[0, 0, 4], [2, 1, 4]]] * 5)).nodes
    >>> [tuple(sites[name]["value"].shape) for name in ("image", "label", "glimpses")]
    [(5,), (5,), (5, 2, 1, 4, 4)]
    """

    def __init__(self, split: Split, retina: Retina, rows: Tensor | None = None) -> None:
        self.split, self.retina = split, retina
        self.rows = torch.arange(len(split), device=split.images.device) if rows is None else rows

    def __call__(
        self,
        places: Tensor,
        noise: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        observations: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Samples all sites; the glimpses (B, t, S*C, G, G) are returned.

        Args:
            places: (B, t, 3).
            noise: standard deviation of the glimpses' values, broadcast to them; None: the sensor is exact.
            generator: that images are drawn with; default torch's own.
            observations: values of sites that were observed.
        """
        seen = observations or {}
        with plate("images", len(places), dim=-1):
            uniform = DiscreteUniform(len(self.rows), generator, places.device, (len(places),))
            image = pyro.sample("image", uniform, obs=seen.get("image"))  # (B,)
            rows = self.rows[image]
            self._label(self.split.labels[rows], seen.get("label"))
            shown = self.retina(self.split.images, rows, places)  # (B, t, S*C, G, G)
            return pyro.sample("glimpses", _sensor(shown, noise), obs=seen.get("glimpses"))

    def _label(self, labels: Tensor, observed: Tensor | None) -> None:
        """The site "label" of the images: (B,), or (A, B)."""
        with ExitStack() as plates:
            for number, size in enumerate(labels.shape[1:]):
                plates.enter_context(plate(PLATES[1 + number], size, dim=-2 - number))
            of_images = labels.T if labels.dim() > 1 else labels
            pyro.sample("label", Delta(of_images, validate_args=False), obs=observed)


def plate(name: str, size: int, *, dim: int) -> IndepMessenger:
    """A `pyro.plate` that never subsamples: it has no site of its own, and takes a fifth of the time."""
    return IndepMessenger(name, size, dim=dim)


def _sensor(shown: Tensor, noise: Tensor | None) -> Any:
    """p(glimpses | image), exact or with Gaussian noise, in double precision for many values are summed."""
    if noise is None:
        return Delta(shown, event_dim=4, validate_args=False)
    return Normal(shown.double(), noise).to_event(4)


class DiscreteUniform(TorchDistribution):
    """Whole numbers from 0 on, all as likely: a categorical without a table of its probabilities.

    Args:
        count: of the numbers.
        generator: that they are drawn with; default torch's own.
        device: where they are.

    >>> DiscreteUniform(4).expand((2, 3)).log_prob(torch.tensor([0, 3, 4])).exp()
    tensor([[0.2500, 0.2500, 0.0000],
            [0.2500, 0.2500, 0.0000]])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        count: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        batch_shape: tuple[int, ...] = (),
    ) -> None:
        self.count, self.generator, self.device = count, generator, device
        super().__init__(torch.Size(batch_shape), validate_args=False)

    def expand(self, batch_shape: tuple[int, ...], _instance: Any = None) -> DiscreteUniform:
        """The same of another batch shape."""
        return DiscreteUniform(self.count, self.generator, self.device, batch_shape)

    def sample(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """(*sample_shape, *batch_shape) int64."""
        shape = (*sample_shape, *self.batch_shape)
        return torch.randint(self.count, shape, generator=self.generator).to(self.device)

    def log_prob(self, value: Tensor) -> Tensor:
        """-log(count) of each value, minus infinity of what is no such number."""
        value = value.expand(torch.broadcast_shapes(value.shape, self.batch_shape))
        inside = (value >= 0) & (value < self.count)
        return torch.where(inside, -math.log(self.count), -torch.inf)
