"""The AVP-CNN: a convolutional network on the masked image, with one head per attribute."""

from __future__ import annotations

import torch
from pyro.nn import PyroModule
from pyro.nn.module import to_pyro_module_
from torch import Tensor, nn

from boed.posteriors.backbones import make_backbone
from boed.posteriors.heads import Heads
from boed.posteriors.posterior import Posterior
from boed.settings import FitSettings
from data.geometry import Geometry
from data.places import denormalise

MEAN, DEVIATION = 0.45, 0.225  # of pixels in [0, 1]: those of ImageNet, averaged over the colours
UNCOVERED = 1e-12  # below the smallest positive coverage of any image
CHUNK = 128  # masked images at once: their activations stay in the cache, which is twice as fast


def overlap(starts: Tensor, lengths: Tensor, size: int, extent: int, resolution: int) -> Tensor:
    """How much of each of R canvas rows each of G rows of a patch covers; a full canvas row is `extent`.

    The canvas has R rows for the image's `extent` rows. Measured in R-ths of an image pixel everything is an
    integer, so that no rounding covers what was not seen. Rows outside the image cover nothing.

    Args:
        starts: (...) int64, first image row of the patch, anywhere.
        lengths: int64, image rows per row of the patch, broadcast against `starts`.
        size: G.
        extent: rows of the image.
        resolution: R.

    Returns:
        (..., R, G) int64.

    >>> overlap(torch.tensor(1), torch.tensor(1), size=2, extent=4, resolution=2)
    tensor([[2, 0],
            [0, 2]])
    """
    canvas = (torch.arange(resolution, device=starts.device) * extent)[:, None]
    span = torch.arange(size, device=starts.device)
    patch = ((starts[..., None] + lengths[..., None] * span) * resolution)[..., None, :]
    ends = patch + (lengths * resolution)[..., None, None]
    return (torch.minimum(canvas + extent, ends) - torch.maximum(canvas, patch)).clamp_(min=0)


class AvpCnnPosterior(Posterior):
    r"""q(label | y_1..y_t, l_1..l_t) by a CNN on the image of which only the glimpses are seen.

    $q_a = \mathrm{Categorical}(\mathrm{softmax}(W_a\,\mathrm{CNN}(\bar x, m) / \tau_t)), \quad
    \bar x = \frac{\sum_i c_i x_i}{\sum_i c_i}, \quad m = \min(1, \sum_i c_i)$

    The attentional variational posterior of Harvey, Teng and Wood (arXiv 1906.05462): one network for any
    glimpses and, with a head $W_a$ for each attribute, for any attribute. The statistic of a glimpse is the
    pair of c_i x_i and c_i: its pixels pasted on an empty canvas of R x R, averaged over area, and the share
    c_i of each canvas pixel that it covers. Where glimpses overlap their pixels are averaged, not doubled.
    Each scale of the retina has a canvas and a mask of its own, and the network sees them side by side.

    What is added over glimpses is large: D = S*(C+1)*R*R numbers.

    Args:
        geometry: of the images (H, W, C) and the sensor (G, S).
        classes: K.
        glimpses: largest t.
        resolution: R, side of what the network sees, in pixels.
        width: channels of the small backbone's first layer; torchvision's have their own.
        backbone: one of `boed.posteriors.choices.BACKBONES`.
        attributes: A, each of K classes with a head of its own.
        pretrained: torchvision's weights instead of random ones.

    Raises:
        SettingsError: no attribute, or see `boed.posteriors.backbones.make_backbone`.

    >>> q = AvpCnnPosterior(Geometry(28, 28, 1, glimpse_size=8), 10, 5, resolution=28, width=8)
    >>> y, centres = torch.rand(7, 3, 1, 8, 8), torch.zeros(7, 3, 2)
    >>> q.logits(q.embed(y, centres).sum(1), 3).shape
    torch.Size([7, 10])
    """

    def __init__(
        self,
        geometry: Geometry,
        classes: int,
        glimpses: int,
        *,
        resolution: int,
        width: int,
        backbone: str = "small",
        attributes: int = 1,
        pretrained: bool = False,
    ) -> None:
        super().__init__(glimpses)
        self.geometry, self.resolution = geometry, resolution
        network, features = make_backbone(
            backbone,
            geometry.channels,
            geometry.scales,
            resolution=resolution,
            width=width,
            pretrained=pretrained,
        )
        to_pyro_module_(network)
        self.network = network
        self.mixes_batch = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
        self.dropout = PyroModule[nn.Dropout](0.3)
        self.head = Heads(features, classes, attributes)

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """Pasted pixels and coverage (..., D) of glimpses (..., S*C, G, G) at centres (..., 2)."""
        geometry, lead = self.geometry, glimpses.shape[:-3]
        size, scales = geometry.glimpse_size, geometry.scales
        patches = glimpses.reshape(-1, scales, geometry.channels, size, size)
        lengths = 2 ** torch.arange(scales, device=centres.device)
        tops = denormalise(centres.reshape(-1, 1, 2), geometry)[..., :2]
        starts = tops - ((lengths - 1) * size // 2)[:, None]  # (N, S, 2): all scales have one centre
        rows = overlap(starts[..., 0], lengths, size, geometry.height, self.resolution).to(patches.dtype)
        cols = overlap(starts[..., 1], lengths, size, geometry.width, self.resolution).to(patches.dtype)
        rows, cols = rows[:, :, None], cols[:, :, None].mT
        coverage = (rows.sum(-1) / geometry.height)[..., None] * (cols.sum(-2) / geometry.width)[..., None, :]
        pixels = (rows / geometry.height) @ patches @ (cols / geometry.width)
        return torch.cat([pixels, coverage], 2).view(*lead, -1)  # (N, S, C+1, R, R)

    def masked_image(self, total: Tensor) -> tuple[Tensor, Tensor]:
        """The seen pixels in [0, 1] (..., S, C, R, R) and the mask (..., S, 1, R, R) of summed statistics."""
        side = self.resolution
        parts = total.view(*total.shape[:-1], self.geometry.scales, self.geometry.channels + 1, side, side)
        pixels, coverage = parts[..., :-1, :, :], parts[..., -1:, :, :]
        return pixels / coverage.clamp(min=UNCOVERED), coverage.clamp(max=1)

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """Unnormalised log-probabilities (..., K), or (..., A, K) of several attributes."""
        return self.read(self._features(total), count)

    def _features(self, total: Tensor) -> Tensor:
        """The network's features (..., F) of the masked images."""
        flat = total.reshape(-1, total.shape[-1])
        parts = [flat] if self.training and self.mixes_batch else flat.split(CHUNK)
        features = torch.cat([self.network(self._network_input(part)) for part in parts])
        return self.dropout(features).view(*total.shape[:-1], -1)

    def _network_input(self, total: Tensor) -> Tensor:
        """(N, S*(C+1), R, R): centred pixels of all scales, zero where not seen, then all masks."""
        pixels, mask = self.masked_image(total)
        seen = (pixels - MEAN) / DEVIATION * (mask > 0)
        return torch.cat([seen.flatten(1, 2), mask.flatten(1, 2)], 1)


def new_posterior(
    geometry: Geometry, settings: FitSettings, places: Tensor, *, classes: int, attributes: int
) -> AvpCnnPosterior:
    """See `boed.posteriors.registry.PosteriorKind`."""
    return AvpCnnPosterior(
        geometry,
        classes,
        settings.glimpses,
        resolution=min(settings.resolution, geometry.height, geometry.width),
        width=max(4, settings.width // 6),
        backbone=settings.backbone,
        pretrained=settings.pretrained,
        attributes=attributes,
    )
