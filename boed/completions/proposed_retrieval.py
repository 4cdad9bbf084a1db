"""Completion by retrieval: PCA proposes images of a bank, and exact likelihoods weigh their variants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from boed.completions.canvas_state import CHUNK, Seen, observed_cells, to_cells
from boed.completions.completion import CompletionTask
from boed.completions.factor_analysis import FactorAnalysis, new_network
from boed.completions.factor_analysis import fit_completion as fit_factors
from boed.completions.folder_bank import folder_bank
from boed.completions.retrieval import RetrievalCompletion, effective_sample_size, squared_distances, tempered
from data.dataset import Split
from data.device import at_device
from data.errors import CheckpointError
from data.grey import grey_levels
from data.places import places_at

PROPOSALS = 200  # bank images, or mirrored ones, whose glimpses are compared with those observed
TARGET_ESS = 20.0  # variants that explain a history, effectively
REACH = 1 / 8  # of the glimpse size: how far a proposal is shifted
GLIMPSE_VALUES = 2**20  # that are compared at a time


class Variants(NamedTuple):
    """n images, each a bank image that is mirrored, or not, and then shifted.

    Attributes:
        rows: (n,) int64, which bank image.
        mirrored: (n,) bool, left to right.
        shifts: (n, 2) int64 pixels, down and to the right; edge pixels are repeated behind them.
    """

    rows: Tensor
    mirrored: Tensor
    shifts: Tensor

    def take(self, some: Tensor) -> Variants:
        """Those with these numbers."""
        return Variants(*(part[some] for part in self))


class ProposalModel(nn.Module):
    """What proposals are made with: the factors of images, and the codes of a bank.

    Args:
        factors: fitted on images that are not in the bank, or about to be loaded.
        images: M in the bank.
        faces: 2 where images are also mirrored, else 1.

    Attributes:
        codes: (F, M, D) mean of the factors given each whole image, first as it is, then mirrored.
        bank_digest: (32,) uint8, says which bank these are the codes of.
    """

    codes: Tensor
    bank_digest: Tensor

    def __init__(self, factors: FactorAnalysis, images: int, faces: int) -> None:
        super().__init__()
        self.factors = factors
        self.register_buffer("codes", factors.mean.new_zeros(faces, images, factors.latent))
        self.register_buffer("bank_digest", torch.zeros(32, dtype=torch.uint8))

    @torch.no_grad()
    def encode(self, bank: Split) -> None:
        """Computes the codes of a bank."""
        mean, encoder = self.factors.mean, whole_encoder(self.factors)
        for rows in torch.arange(len(bank), device=self.codes.device).split(CHUNK):
            cells = to_cells(bank.images, rows, self.factors.cells)
            for face, shown in zip(self.codes, (cells, cells.flip(-1)), strict=False):
                face[rows] = (shown.to(mean.dtype) - mean).flatten(1) @ encoder
        self.bank_digest.copy_(bank_digest(bank))


def whole_encoder(factors: FactorAnalysis) -> Tensor:
    """(C*R*R, D) that takes a whole image, less the mean, to the posterior mean of its factors."""
    seen = Seen(factors.mean[None], torch.ones_like(factors.mean[None, :1]))
    covariance = factors.posterior(seen).covariance_matrix[0]  # the same for every image that is seen whole
    return factors.loadings.flatten(1).T @ covariance / factors.variance


def bank_digest(bank: Split) -> Tensor:
    """(32,) uint8 SHA-256 over the fingerprint and the ids of a bank."""
    digest = hashlib.sha256(bank.fingerprint.encode() + bank.ids.cpu().numpy().tobytes()).digest()
    return torch.tensor(list(digest), dtype=torch.uint8)


def new_model(factors: FactorAnalysis, bank: Split, *, symmetric: bool) -> ProposalModel:
    """The model of a bank, with its codes.

    Args:
        factors: fitted on images that are not in the bank.
        bank: its images, on the device of the factors.
        symmetric: whether mirrored images are as likely as the images.
    """
    model = ProposalModel(factors, len(bank), 1 + symmetric).to(factors.mean.device)
    model.encode(bank)
    return model


def require_bank(digest: Tensor, bank: Split, source: Path) -> None:
    """Raises CheckpointError, with both digests, when the one read from `source` is of another bank."""
    expected, found = (bytes(each.tolist()).hex()[:12] for each in (bank_digest(bank), digest))
    if expected != found:
        raise CheckpointError(
            f"expected codes of the {len(bank)} images of the bank ({expected}) in {source}, found those of "
            f"others ({found}); put the images back or use another --run folder"
        )


class ProposedRetrieval:
    r"""Variants of bank images, weighted by how well they explain the glimpses; a `WeightedCompletion`.

    For one history of glimpses $y_i$ at $l_i$:

    1. The P bank images, or mirrored ones, whose codes $z_n$ have the highest density $p(z_n \mid y_1..y_t)$
       under the exact posterior of a probabilistic PCA are proposed.
    2. Each is shifted by nothing and by an eighth of a glimpse in every direction. A variant $x_v$ weighs

       $\log w_v = -\tfrac{1}{2\sigma^2} \sum_i \lVert y_i - \mathrm{sensor}(x_v, l_i) \rVert^2,$

       with exact distances, and $\sigma$ such that the effective sample size $1 / \sum_v w_v^2$ meets its
       target.
    3. Completions are drawn by systematic resampling, and made.

    The retrieval of Harvey, Teng and Wood, arXiv 1906.05462; PCA as by Tipping and Bishop 1999. Histories
    are completed one by one: the result for one image is the same to the bit whatever the others are.

    Args:
        network: with the codes of `bank`; of the same device.
        bank: images without need of labels; they must not have trained the posterior that scores them.
        target_ess: effective number of variants per history.

    >>> from data.geometry import Geometry
    >>> geometry, images = Geometry(8, 8, 1, glimpse_size=4), torch.arange(64, dtype=torch.uint8)
    >>> bank = Split(images.view(1, 8, 8, 1), torch.zeros(1), torch.arange(1), "")
    >>> r = ProposedRetrieval(new_model(FactorAnalysis(geometry, factors=3), bank, symmetric=True), bank)
    >>> glimpses = geometry.retina()(bank.images, torch.tensor([0]), torch.tensor([[[2, 2, 4]]]))
    >>> r.complete(glimpses, torch.tensor([[[2, 2, 4]]]), torch.zeros(1, 5, r.noise)).shape
    torch.Size([1, 5, 8, 8, 1])
    """

    noise = 1

    def __init__(self, network: ProposalModel, bank: Split, target_ess: float = TARGET_ESS) -> None:
        self.network: nn.Module = network.eval()
        self._model = network
        self.bank, self.target_ess = bank, target_ess
        self.geometry = network.factors.geometry
        step = max(1, round(REACH * self.geometry.glimpse_size))
        steps = torch.tensor([-step, 0, step], device=bank.images.device)
        self.shifts = torch.cartesian_prod(steps, steps)  # (S, 2)
        self._left_out = torch.zeros(len(bank), dtype=torch.bool, device=bank.images.device)

    @contextmanager
    def without(self, rows: Tensor) -> Iterator[None]:
        """Leaves bank images (U,) out of all completions for a while: those that are designed for."""
        self._left_out[rows] = True
        try:
            yield
        finally:
            self._left_out[rows] = False

    @torch.no_grad()
    def complete(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        """(B, N, H, W, C) uint8 for B histories; see `Completion`. Only the first noise of each is used."""
        single = zip(glimpses.split(1), locations.split(1), noise, strict=True)
        return torch.stack([self._complete_one(*history) for history in single])

    @torch.no_grad()
    def sample_size(self, glimpses: Tensor, locations: Tensor) -> Tensor:
        """(B,) effective number of variants for B histories."""
        single = zip(glimpses.split(1), locations.split(1), strict=True)
        return torch.cat([effective_sample_size(self.weighted(*history)[1])[0] for history in single])

    def propose(self, glimpses: Tensor, locations: Tensor) -> Variants:
        """The (P,) proposals for one history (B = 1), the likeliest first, not shifted yet."""
        codes, factors = self._model.codes, self._model.factors
        dtype = factors.mean.dtype
        seen = observed_cells(glimpses.to(dtype), locations, self.geometry, factors.cells)
        density = factors.posterior(seen).log_prob(codes.flatten(0, 1)).view(codes.shape[:2])  # (F, M)
        density = density.masked_fill(self._left_out, -torch.inf).flatten()
        count = min(PROPOSALS, int(density.isfinite().sum()))
        likely = density.topk(count).indices
        shifts = self.shifts.new_zeros(count, 2)
        return Variants(likely % codes.shape[1], likely >= codes.shape[1], shifts)

    def weighted(self, glimpses: Tensor, locations: Tensor) -> tuple[Variants, Tensor]:
        """All (P*S,) variants of the proposals for one history (B = 1), and their log-weights (1, P*S)."""
        proposed = self.propose(glimpses, locations)
        each = torch.arange(len(proposed.rows), device=proposed.rows.device)
        variants = proposed.take(each.repeat_interleave(len(self.shifts)))
        variants = variants._replace(shifts=self.shifts.repeat(len(each), 1))
        return variants, tempered(self.distances(glimpses, locations, variants), self.target_ess)

    def distances(self, glimpses: Tensor, locations: Tensor, variants: Variants) -> Tensor:
        """(1, n) exact squared distances in grey levels of one history to variants, part by part."""
        observed = grey_levels(glimpses)
        patch = self.geometry.glimpse_size * 2 ** (self.geometry.scales - 1)
        block = max(1, GLIMPSE_VALUES // max(1, locations.shape[1] * patch**2 * self.geometry.channels))
        parts = [
            squared_distances(observed, grey_levels(self._shown(variants.take(some), locations[0])))
            for some in torch.arange(len(variants.rows), device=locations.device).split(block)
        ]
        return torch.cat(parts, 1)

    def _shown(self, variants: Variants, locations: Tensor) -> Tensor:
        """(n, t, S*C, G, G) what the sensor sees of variants at places (t, 3), which alone are made."""
        margin = (2 ** (self.geometry.scales - 1) - 1) * self.geometry.glimpse_size // 2
        side = self.geometry.glimpse_size * 2 ** (self.geometry.scales - 1)  # of the coarsest scale
        patches = variant_patches(self.bank.images, variants, locations[:, :2] - margin, (side, side))
        each = torch.arange(patches.shape[0] * patches.shape[1], device=locations.device)
        centre = places_at(locations.new_full((len(each), 1, 2), margin), self.geometry.glimpse_size)
        return self.geometry.retina()(patches.flatten(0, 1), each, centre).view(
            *patches.shape[:2], *self.geometry.glimpse_shape()
        )

    def _complete_one(self, glimpses: Tensor, locations: Tensor, noise: Tensor) -> Tensor:
        """(N, H, W, C) for one history (B = 1), from noise (N, 1)."""
        variants, log_weights = self.weighted(glimpses, locations)
        offset = torch.special.ndtr(noise[0].double())  # uniform
        drawn = RetrievalCompletion.draw(log_weights, len(noise), offset)[0]
        some, which = drawn.unique(return_inverse=True)  # each is made once
        size = (self.geometry.height, self.geometry.width)
        corner = locations.new_zeros(1, 2)
        return variant_patches(self.bank.images, variants.take(some), corner, size)[which, 0]


def variant_patches(images: Tensor, variants: Variants, corners: Tensor, size: tuple[int, int]) -> Tensor:
    """The same rectangles of all variants, gathered from the bank in one go; outside of an image is zero.

    Args:
        images: (M, H, W, C) uint8, contiguous.
        variants: n of them.
        corners: (t, 2) int64 top-left pixels, anywhere.
        size: height and width of the rectangles in pixels.

    Returns:
        (n, t, height, width, C) uint8.

    >>> images = torch.tensor([1, 2, 3], dtype=torch.uint8).view(1, 1, 3, 1)
    >>> both = Variants(torch.tensor([0, 0]), torch.tensor([False, True]), torch.tensor([[0, 1], [0, 1]]))
    >>> variant_patches(images, both, torch.tensor([[0, 0]]), (1, 4)).flatten(1).tolist()
    [[1, 1, 2, 0], [3, 3, 2, 0]]
    """
    _, height, width, channels = images.shape
    down = corners[:, 0, None] + torch.arange(size[0], device=corners.device)  # (t, h)
    right = corners[:, 1, None] + torch.arange(size[1], device=corners.device)  # (t, w)
    rows = (down - variants.shifts[:, 0, None, None]).clamp(0, height - 1)  # (n, t, h)
    cols = (right - variants.shifts[:, 1, None, None]).clamp(0, width - 1)
    cols = torch.where(variants.mirrored[:, None, None], width - 1 - cols, cols)
    starts = (variants.rows[:, None, None] * height + rows) * width
    patches = images.view(-1, channels)[starts[..., :, None] + cols[..., None, :]]
    inside = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None, :]
    return patches if bool(inside.all()) else patches * inside[..., None]


def fit_completion(task: CompletionTask, train: Split, rows: Tensor) -> ProposedRetrieval:
    """Retrieval with proposals by the factors of the images `rows` (M,)."""
    bank = retrieved_from(task)
    factors = fit_factors(task, train, rows).factors
    return ProposedRetrieval(new_model(factors, bank, symmetric=task.symmetric), bank)


def new_completion(task: CompletionTask, tensors: Mapping[str, Tensor]) -> ProposedRetrieval:
    """Not fitted, for the codes that were saved; raises CheckpointError for codes of another bank."""
    bank = retrieved_from(task)
    require_bank(tensors["bank_digest"], bank, task.path)
    faces, images, factors = tensors["codes"].shape
    return ProposedRetrieval(ProposalModel(new_network(task, factors), images, faces), bank)


def retrieved_from(task: CompletionTask) -> Split:
    """The images of a folder if one was named, else the labelled ones."""
    if task.folder is None:
        return task.bank
    return at_device(folder_bank(task.folder, task.geometry), task.places.device)
