"""The posterior that is exact on an enumerated set of images: in the place of one that is learned."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.completions.retrieval import squared_distances
from boed.enumeration.exact import Enumeration
from boed.enumeration.task import enumeration
from boed.posteriors.posterior import Posterior
from boed.settings import FittedSettings
from data.geometry import Geometry
from data.grey import grey_levels
from data.places import normalise


class ExactPosterior(Posterior):
    r"""The posterior of an `Enumeration` in the form of a network; it has nothing to learn.

    The statistic of a glimpse is its log-likelihood under every template (D = M, in the order of their
    classes), with Gaussian noise so narrow that it matters only for a glimpse that no template shows: its
    posterior is that of the nearest.

    $e_m(y, l) = -\tfrac{1}{2\sigma^2} \lVert y - \mathrm{sensor}(x_m, l) \rVert^2, \quad
    q(\theta \mid h) \propto \sum_{m : \theta_m = \theta} \exp \sum_i e_m(y_i, l_i)$

    On glimpses of templates it is exact to rounding as long as two patterns differ by ten sigma or more:
    the templates that are consistent with a history have a sum of exactly 0, all others of -50 or less.
    `temperature` stays 1 and is not applied. Nothing is saved with it: the buffers follow from `world`.

    Args:
        world: the templates.
        glimpses: largest t.
        sigma: standard deviation of the noise in grey levels (0 to 255).

    >>> from data.geometry import Geometry
    >>> images = torch.tensor([0, 20, 20], dtype=torch.uint8).view(3, 1, 1, 1).expand(-1, 2, 2, -1)
    >>> world = Enumeration(images.contiguous(), torch.tensor([0, 0, 1]), Geometry(2, 2, 1, 2, per_axis=1))
    >>> q = ExactPosterior(world, glimpses=1)
    >>> q.logits(q.embed(torch.full((1, 1, 2, 2), 20 / 255), torch.zeros(1, 2)), 1).softmax(-1).tolist()
    [[0.5, 0.5]]
    """

    patterns: Tensor
    codes: Tensor
    centres: Tensor

    def __init__(self, world: Enumeration, glimpses: int, sigma: float = 1.0) -> None:
        super().__init__(glimpses)
        geometry = world.geometry
        self.sigma = sigma
        self.sizes = world.labels.bincount(minlength=world.classes).tolist()
        buffers = {
            "patterns": _patterns(world),  # (L, P, S*C*G*G)
            "codes": world.codes.T[:, world.labels.argsort(stable=True)],  # (L, M)
            "centres": normalise(world.places, geometry),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        """Log-likelihood (..., M) of glimpses (..., S*C, G, G) in [0, 1], at the places nearest to `centres`.

        A glimpse is compared with the few patterns of its place, not with every template.
        """
        flat = glimpses.reshape(-1, self.patterns.shape[-1])
        place = (centres.reshape(-1, 1, 2) - self.centres).abs().sum(-1).argmin(-1)
        result = flat.new_empty(len(flat), self.codes.shape[1])
        for number in place.unique().tolist():
            here = (place == number).nonzero().view(-1)
            distances = squared_distances(grey_levels(flat[here]), self.patterns[number].double())
            result[here] = (distances / (-2 * self.sigma**2)).to(flat.dtype)[:, self.codes[number]]
        return result.view(*centres.shape[:-1], self.codes.shape[1])

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        """log p(history, label) up to a constant, (..., K), from summed log-likelihoods (..., M)."""
        return torch.stack([part.logsumexp(-1) for part in total.split(self.sizes, -1)], -1)


def _patterns(world: Enumeration) -> Tensor:
    """(L, P, S*C*G*G) grey levels: what is to be seen at each place."""
    shape = world.examples.shape
    locations = world.places[:, None].expand(*shape, 3).reshape(-1, 1, 3)
    glimpses = world.geometry.retina()(world.images, world.examples.view(-1), locations)
    return grey_levels(glimpses).view(*shape, -1)


def new_posterior(
    geometry: Geometry, settings: FittedSettings, places: Tensor, *, classes: int, attributes: int
) -> ExactPosterior:
    """See `boed.posteriors.registry.PosteriorKind`; classes and attributes are those of the templates."""
    return ExactPosterior(enumeration(settings.dataset, geometry, places), settings.glimpses)
