"""The amortised EPE estimator: a network that maps the glimpses so far to the whole map in one pass."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from boed.estimators.epe import entropy
from boed.estimators.estimator import BeliefParts, Completed, EstimatorTask
from boed.estimators.seen_canvas import SeenCanvas
from data.errors import SettingsError
from data.geometry import Geometry
from data.places import is_whole

CELLS, CHANNELS, GROUPS = 32, 32, 4  # normalised image by image: glimpses differ from step to step
AXES = 2  # row and column of a cell, as channels


class AmortisedEstimator(nn.Module):
    r"""$m_\phi(y_{\le t}, l_{\le t}) \in \mathbb R^L$: expected score of every place as the next glimpse.

    Regressed with squared error on the realised cross-entropy $-\log q(\theta \mid y_{\le t}, y_l)$ of q on
    images that q has not seen, less a control variate (`realised_scores`). The minimiser is its conditional
    mean given the glimpses so far, which is the bound on the EPE of Barber and Agakov; no completion is
    needed. DIME (Gadgil, Covert, Lee, 2024, arXiv 2306.03301) estimates information gains of features in
    this way.

    The network is convolutional: it sees the glimpses pasted on a canvas of 32 x 32 cells, has a map for
    each side of squares on the same cells, and reads these at the centres of the places. So a part that was
    learned at one place is known at all others. What it learns is the gain, by which the score is below the
    entropy of q now; that, and how many glimpses there were, moves its features.

    Args:
        geometry: of images and sensor.
        places: (L, 3) candidates.
        glimpses: T.
        aligned: whether the same part is at the same place in all images: then it sees rows and columns too.
        channels: of the features.

    >>> places = torch.tensor([[0, 0, 8], [0, 8, 8]])
    >>> estimator = AmortisedEstimator(Geometry(16, 16, 1, glimpse_size=8), places, glimpses=3)
    >>> seen = estimator.canvas.pasted(torch.rand(4, 1, 8, 8), places[:1].expand(4, 3))
    >>> estimator(seen, 1, torch.zeros(4)).shape
    torch.Size([4, 2])
    """

    centres: Tensor
    number: Tensor
    axes: Tensor

    def __init__(
        self,
        geometry: Geometry,
        places: Tensor,
        glimpses: int,
        *,
        aligned: bool = False,
        channels: int = CHANNELS,
    ) -> None:
        super().__init__()
        self.canvas = SeenCanvas(geometry, CELLS)
        sides, number = places[:, 2].unique(return_inverse=True)
        axis = torch.linspace(-1, 1, CELLS)
        buffers = {
            "centres": centres(places, geometry),  # (L, 2)
            "number": number,  # (L,) of the side
            "axes": torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[: AXES * aligned],
        }
        for name, value in buffers.items():
            self.register_buffer(name, value, persistent=False)
        self.stem = nn.Sequential(
            nn.Conv2d(self.canvas.channels + len(self.axes), channels, 4, stride=2, padding=1),
            nn.GroupNorm(GROUPS, channels),
        )
        self.state = nn.Linear(1, channels)
        self.count = nn.Embedding(glimpses + 1, channels)
        nn.init.normal_(self.count.weight, std=0.1)  # or it would drown what is seen
        around = [layer for _ in range(3) for layer in _convolution(channels, dilation=2)]
        self.body = nn.Sequential(
            nn.ReLU(),
            *around,
            nn.Upsample(scale_factor=2, mode="bilinear"),
            *_convolution(channels),
        )
        self.gain = nn.Conv2d(channels, len(sides), 1)
        nn.init.zeros_(self.gain.weight)  # at first nothing is gained anywhere
        nn.init.zeros_(self.gain.bias)  # type: ignore[arg-type]

    def forward(self, seen: Tensor, count: int, uncertain: Tensor, *, mirrored: bool = False) -> Tensor:
        """(B, L) nats.

        Args:
            seen: (B, channels, R, R) what `SeenCanvas.pasted` adds up to.
            count: of glimpses.
            uncertain: (B,) entropy of q, in nats.
            mirrored: whether the network sees the canvas left to right; each place is where it then lies.
        """
        shown, points = self.canvas.shown(seen), self.centres
        if mirrored:
            shown, points = shown.flip(3), points * points.new_tensor([1, -1])
        uncertain = uncertain.to(seen)[:, None]
        axes = self.axes.expand(len(seen), -1, -1, -1)
        state = self.state(uncertain) + self.count.weight[count]
        maps = self.gain(
            self.body(self.stem(torch.cat([shown, axes], 1)) + state[..., None, None])
        )  # (B, sides, R, R)
        return uncertain - self._read(maps, points)

    def _read(self, maps: Tensor, points: Tensor) -> Tensor:
        """(B, L) each place's value of the map of its side, at points (L, 2)."""
        where = points.flip(-1).expand(len(maps), 1, -1, -1)  # grid_sample has the column first
        values = grid_sample(maps, where, padding_mode="border", align_corners=False)[
            :, :, 0
        ]  # (B, sides, L)
        return values.gather(1, self.number.expand(len(maps), 1, -1)).squeeze(1)


def _convolution(channels: int, dilation: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
    return [layer, nn.GroupNorm(GROUPS, channels), nn.ReLU()]


def centres(places: Tensor, geometry: Geometry) -> Tensor:
    """(L, 2) row and column of the centres of places (L, 3), from -1 to 1; the whole image's is 0."""
    extent = torch.tensor(geometry.image_size, device=places.device)
    middle = (places[:, :2] + places[:, 2:] / 2) * 2 / extent - 1
    return middle.masked_fill(is_whole(places, geometry)[:, None], 0)


class AmortisedBelief:
    """The canvases of B images.

    Args:
        parts: with the trained network.
        network: it, in single precision as it was trained.
    """

    def __init__(self, parts: BeliefParts, network: AmortisedEstimator) -> None:
        self.q, self.places, self.estimator = parts.q, parts.places, copy.deepcopy(network).eval()
        self.seen = torch.zeros(len(parts.noise), *network.canvas.shape, device=parts.places.device)

    def observe(self, glimpses: Tensor, places: Tensor) -> None:
        """Pastes one more glimpse per image."""
        self.seen = self.seen + self.estimator.canvas.pasted(glimpses.float(), self.places[places])

    def own_map(self, totals: Tensor, count: int, wanted: Tensor | None = None) -> Tensor:
        """(B, L): one pass of the network, image by image so that no bit depends on the batch."""
        uncertain = entropy(self.q.logits(totals.float(), count - 1))
        pairs = zip(self.seen.split(1), uncertain.split(1), strict=True)
        scores = torch.cat([self.estimator(seen, count - 1, each) for seen, each in pairs])
        return scores if wanted is None else scores.masked_fill(~wanted, torch.inf)

    def completed(self, image: int, totals: Tensor) -> Completed:
        raise SettingsError(
            "expected an estimator with completions to look ahead, found amortised; use --search greedy"
        )


def new_estimator(task: EstimatorTask) -> AmortisedEstimator:
    """Untrained, for the places of the task."""
    return AmortisedEstimator(task.geometry, task.places, task.settings.glimpses, aligned=task.aligned)


def amortised_belief(parts: BeliefParts) -> AmortisedBelief:
    """What the network of the parts says; raises SettingsError without one."""
    if not isinstance(parts.network, AmortisedEstimator):
        raise SettingsError("expected the network of an amortised estimator, found none; fit it first")
    return AmortisedBelief(parts, parts.network)
