"""One of each that a package can add to the design: they are small rather than good."""

import numpy as np
import torch
from torch import Tensor, nn

from boed.completions.completion import CompletionTask
from boed.completions.registry import COMPLETIONS, CompletionKind
from boed.estimators.estimator import BeliefParts, Completed
from boed.estimators.registry import ESTIMATORS, EstimatorKind
from boed.posteriors.heads import Heads
from boed.posteriors.posterior import Posterior
from boed.posteriors.registry import POSTERIORS, PosteriorKind
from boed.settings import FitSettings
from data.dataset import DataSet, Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.registry import register


# --- a data set
@register("stripes", "stripes that lie or stand, 16 x 16, made up", options=("count", "seed"))
def stripes(count: int = 200, seed: int = 0) -> DataSet:
    """Lying or standing; `load("stripes", count=500)` takes both options, the command line only the seed."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    images = random.integers(0, 60, (count, 16, 16), dtype=np.uint8)
    for image, label, first in zip(images, labels, random.integers(0, 4, count), strict=True):
        (image.T if label else image)[first::4] += 180
    return DataSet.from_arrays(
        images, labels, classes=("lying", "standing"), name="stripes", glimpse_size=4, glimpses=2
    )


# --- a posterior
class Edges(Posterior):
    """A statistic that adds over glimpses, and logits of the sum; `boed fit` trains it."""

    def __init__(self, classes: int, glimpses: int) -> None:
        super().__init__(glimpses)
        self.head = Heads(2, classes)

    def embed(self, glimpses: Tensor, centres: Tensor) -> Tensor:
        down, across = glimpses.diff(dim=-2).abs(), glimpses.diff(dim=-1).abs()
        return torch.stack([down.mean((-3, -2, -1)), across.mean((-3, -2, -1))], -1)

    def logits(self, total: Tensor, count: int | Tensor) -> Tensor:
        return self.read(total, count)


def new_edges(
    geometry: Geometry, settings: FitSettings, places: Tensor, *, classes: int, attributes: int
) -> Edges:
    """Of the size that the settings name, untrained."""
    return Edges(classes, settings.glimpses)


POSTERIORS.register("edges")(PosteriorKind(new_edges))


# --- a completion
class MeanImage:
    """Whatever was seen, the mean image, darker or brighter."""

    noise = 1

    def __init__(self, mean: Tensor) -> None:
        self.network = nn.Module()
        self.network.register_buffer("mean", mean)

    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        levels = self.network.get_buffer("mean") + 40 * noise[..., None, None]
        return levels.clamp(0, 255).to(torch.uint8)


def fit_mean_image(task: CompletionTask, train: Split, rows: Tensor) -> MeanImage:
    """Of the images that q is trained on."""
    return MeanImage(train.images[rows].float().mean(0))


COMPLETIONS.register("mean-image")(
    CompletionKind(fit=fit_mean_image, new=lambda task, tensors: MeanImage(tensors["mean"]))
)


# --- an estimator
class Farthest:
    """A score that needs no completions: the nearer to what was seen, the worse."""

    def __init__(self, parts: BeliefParts) -> None:
        self.corners, self.seen = parts.places[:, :2].double(), list[Tensor]()

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        self.seen.append(self.corners[places])

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        scores = -torch.cdist(torch.stack(self.seen, 1), self.corners).amin(1)
        return scores if wanted is None else scores.masked_fill(~wanted, torch.inf)

    def completed(self, image: int) -> Completed:
        raise SettingsError("expected completions to look ahead with, found none; use --search greedy")


ESTIMATORS.register("farthest")(EstimatorKind(Farthest, completes=False))
