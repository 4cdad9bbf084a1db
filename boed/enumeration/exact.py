"""Exact Bayesian design where the images are known: a finite set, uniform and without noise.

Every probability is a count of images, so nothing is approximated but by rounding: the yardstick for q, r and
the search. `data.finite` is such a set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from data.dataset import Split
from data.errors import SettingsError
from data.geometry import Geometry
from data.store import ImageStore

ENTRIES = 2**22  # (template, place) pairs that are sorted at once


class Enumeration:
    r"""What every template shows at every place, as numbers: `codes[m, l]` of the distinct patterns.

    After glimpses at l_1..l_t the templates S that show the same are equally likely, so that
    $p(\theta \mid h) = |S_\theta| / |S|$, and one more glimpse at l parts S by its pattern c there:

    $\mathrm{EPE}(l) = \sum_c \tfrac{|S_c|}{|S|} H(p(\theta \mid S_c))
    = \tfrac{1}{|S|} \sum_c \big( |S_c| \ln |S_c| - \sum_\theta |S_{c\theta}| \ln |S_{c\theta}| \big)$

    which is Lindley's (1956) expected information, with the sign changed and up to a constant. In double
    precision, in nats, on the CPU.

    Args:
        images: (M, H, W, C) uint8 templates, equally likely.
        labels: (M,) int64.
        geometry: sensor, and grid for the default of the places.
        places: (L, 3) candidates.

    Attributes:
        codes: (M, L) int64.
        examples: (L, P) a template that shows each pattern; 0 where a place has fewer than P.

    >>> images = torch.tensor([[0, 9], [5, 9], [5, 7]], dtype=torch.uint8).repeat_interleave(2, 1)
    >>> images = images.view(3, 1, 4, 1).expand(-1, 4, -1, -1).contiguous()  # a left and a right half
    >>> world = Enumeration(images, torch.tensor([0, 1, 1]), Geometry(4, 4, 1, 2, per_axis=2))
    >>> world.epe(torch.ones(1, 3, dtype=torch.bool)).round(decimals=3).tolist()
    [[0.0, 0.462, 0.0, 0.462]]
    """

    def __init__(
        self, images: Tensor, labels: Tensor, geometry: Geometry, places: Tensor | None = None
    ) -> None:
        if len(images) != len(labels) or len(images) == 0:
            raise SettingsError(
                f"expected as many labels as templates, found {len(labels)} for {len(images)}"
            )
        self.images, self.labels, self.geometry = images, labels, geometry
        self.places = geometry.grid().locations if places is None else places
        self.codes = torch.stack([self._codes_at(place) for place in self.places], 1)
        examples = torch.zeros(len(self.places), int(self.codes.max()) + 1, dtype=torch.int64)
        every = torch.arange(len(images)).expand(len(examples), -1)
        self.examples = examples.scatter_(1, self.codes.T, every)
        self.classes = int(labels.max()) + 1
        counts = np.arange(len(images) + 1.0)
        self._codes = self.codes.T.contiguous().numpy()
        self._n_log_n = counts * np.log(counts.clip(1))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def bank(self) -> Split:
        """The templates as a split, image id = number of the template."""
        ids = np.arange(len(self))
        return Split.of(ImageStore.from_arrays(self.images.numpy(), self.labels.numpy()[:, None], ids))

    def index(self, locations: Tensor) -> Tensor:
        """Numbers (...) of the places of the candidates (..., 3); raises SettingsError for any other."""
        same = (locations[..., None, :] == self.places).all(-1)
        if not bool(same.any(-1).all()):
            stray = locations[~same.any(-1)][0].tolist()
            raise SettingsError(f"expected locations among the {len(self.places)} places, found {stray}")
        return same.long().argmax(-1)

    def consistent(self, seen: Tensor, places: Tensor) -> Tensor:
        """(B, M) the templates that show the patterns `seen` (B, t) at the places (B, t), numbers both."""
        possible = torch.ones(len(seen), len(self), dtype=torch.bool)
        for code, place in zip(seen.T, places.T, strict=True):
            possible &= torch.from_numpy(self._codes)[place] == code[:, None]
        return possible

    def posterior(self, consistent: Tensor) -> Tensor:
        """p(label | history) (B, K), from the templates (B, M) consistent with it; nan if there are none."""
        counts = [consistent[:, self.labels == label].sum(1) for label in range(self.classes)]
        return torch.stack(counts, 1) / consistent.sum(1, keepdim=True).double()

    def entropy(self, consistent: Tensor) -> Tensor:
        """(B,) entropy of the posterior."""
        return torch.special.entr(self.posterior(consistent)).sum(1)

    def epe(self, consistent: Tensor) -> Tensor:
        """(B, L) EPE of every place, given the templates (B, M) consistent with each history.

        Of places seen already it is the entropy now. Equal histories are computed once.
        """
        if not bool(consistent.any(1).all()):
            raise SettingsError("expected histories of the templates, found one that none is consistent with")
        packed = np.packbits(consistent.numpy(), axis=1)
        _, first, inverse = np.unique(_as_scalars(packed), return_index=True, return_inverse=True)
        sets = consistent.numpy()[first]
        part = np.cumsum(sets.sum(1) * len(self.places)) // ENTRIES
        maps = [
            self.grouped_epe(*np.nonzero(some)) for some in np.split(sets, np.flatnonzero(np.diff(part)) + 1)
        ]
        return torch.from_numpy(np.concatenate(maps)[inverse])

    def grouped_epe(self, groups: np.ndarray, members: np.ndarray) -> np.ndarray:
        """(G, L) EPE given each of G sets of templates: template members[i] is in set groups[i] (E,)."""
        count, patterns = int(groups.max()) + 1, self.examples.shape[1]
        keys = groups * patterns + self._codes.take(members, axis=1)  # (L, E)
        keys = keys * self.classes + self.labels.numpy()[members]
        keys.sort(axis=1)  # equal (set, pattern, label) lie side by side
        starts = np.flatnonzero(np.diff(keys, axis=1, prepend=-1))
        sizes, heads = np.diff(starts, append=keys.size), keys.ravel()[starts] // self.classes
        place = starts // keys.shape[1]
        cell = place * count + heads // patterns
        total = -np.bincount(cell, self._n_log_n[sizes], len(keys) * count)
        new = np.flatnonzero(np.diff(heads, prepend=-1) | np.diff(place, prepend=-1))
        sizes = np.add.reduceat(sizes, new)  # of (set, pattern)
        total += np.bincount(cell[new], self._n_log_n[sizes], len(keys) * count)
        return total.reshape(-1, count).T.clip(0) / np.bincount(groups)[:, None]

    def _codes_at(self, place: Tensor) -> Tensor:
        """(M,) number of the pattern that each template shows at a place (2,)."""
        rows = torch.arange(len(self))
        glimpses = self.geometry.retina()(self.images, rows, place.expand(len(rows), 1, 3))
        return torch.from_numpy(np.unique(_as_scalars(glimpses.flatten(1).numpy()), return_inverse=True)[1])


def _as_scalars(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) as N single values that can be sorted and compared."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]


@dataclass(frozen=True)
class ExactDesigns:
    """Glimpse sequences of B images with all exact values along them.

    Attributes:
        places: (B, T) numbers of the places.
        locations: (B, T, 3) these places.
        epe_map: (B, T, L) EPE of every place before each glimpse, nats; finite where one was seen, too.
        entropy: (B, T+1) entropy of the posterior before the first and after each glimpse, nats.
    """

    places: Tensor
    locations: Tensor
    epe_map: Tensor
    entropy: Tensor


Choice = Callable[[int, Tensor], Tensor]
"""(number of glimpses so far, EPE (B, L), infinite where seen) -> next places (B,)."""


def _designs(world: Enumeration, templates: Tensor, steps: int, choose: Choice) -> ExactDesigns:
    if steps > len(world.places):
        raise SettingsError(f"expected at most {len(world.places)} glimpses, found {steps}")
    consistent = torch.ones(len(templates), len(world), dtype=torch.bool)
    seen = torch.zeros(len(templates), len(world.places), dtype=torch.bool)
    places, maps, entropies = [], [], [world.entropy(consistent)]
    for step in range(steps):
        maps.append(world.epe(consistent))
        places.append(choose(step, maps[-1].masked_fill(seen, torch.inf)))
        seen.scatter_(1, places[-1][:, None], True)
        consistent &= world.consistent(world.codes[templates, places[-1]][:, None], places[-1][:, None])
        entropies.append(world.entropy(consistent))
    chosen = torch.stack(places, 1)
    return ExactDesigns(chosen, world.places[chosen], torch.stack(maps, 1), torch.stack(entropies, 1))


def exact_greedy(world: Enumeration, templates: Tensor, steps: int) -> ExactDesigns:
    """At each step the place of the smallest exact EPE, for the templates of these numbers (B,)."""
    return _designs(world, templates, steps, lambda _, epe: epe.argmin(1))


def exact_along(world: Enumeration, templates: Tensor, places: Tensor) -> ExactDesigns:
    """Exact values along given sequences of places (B, T), each on the image's own history."""
    return _designs(world, templates, places.shape[1], lambda step, _: places[:, step])


def exact_epe_along(world: Enumeration, templates: Tensor, places: Tensor) -> Tensor:
    """(B, T, L) exact EPE maps before each glimpse of given sequences of places (B, T).

    The regret of a sequence is its places' EPE minus the smallest of each map.
    """
    return exact_along(world, templates, places).epe_map


def exact_random(world: Enumeration, templates: Tensor, steps: int, *, seed: int) -> ExactDesigns:
    """Distinct places drawn uniformly, row by row of `templates`."""
    random = np.random.default_rng(seed)
    drawn = random.random((len(templates), len(world.places))).argsort(1)[:, :steps]
    return exact_along(world, templates, torch.from_numpy(drawn))


def exact_fixed(world: Enumeration, steps: int) -> Tensor:
    """(T,) the fixed greedy order: each place has the smallest mean EPE over all templates."""
    order: list[int] = []
    for _ in range(steps):
        groups = _parted(world, order)
        mean = world.grouped_epe(groups, np.arange(len(world)))[groups].mean(0)
        mean[order] = np.inf
        order.append(int(mean.argmin()))
    return torch.tensor(order)


def optimal_epe(world: Enumeration, steps: int) -> Tensor:
    r"""(L,) expected posterior entropy after `steps` glimpses, the first at l and the rest chosen optimally.

    $V_0(S) = H(p(\theta \mid S)), \quad V_j(S) = \min_l \sum_c \tfrac{|S_c|}{|S|} V_{j-1}(S_c)$

    Its minimum is what no policy can go below, greedy or not. By dynamic programming: histories with the same
    places in another order part the templates alike, and are computed once. Time and memory grow as
    L^(steps-1); three steps are feasible.
    """
    places, every = range(len(world.places)), np.arange(len(world))
    if steps == 1:
        return torch.from_numpy(world.grouped_epe(np.zeros_like(every), every)[0])

    @cache
    def value(seen: frozenset[int], left: int) -> np.ndarray:  # (M,): V of what looks like each template
        groups = _parted(world, seen)
        if left == 1:
            return world.grouped_epe(groups, every).min(1)[groups]
        sizes = np.bincount(groups)
        rest = [np.bincount(groups, value(seen | {place}, left - 1)) for place in places if place not in seen]
        return (np.minimum.reduce(rest) / sizes)[groups]

    return torch.tensor([value(frozenset([place]), steps - 1).mean() for place in places])


def _parted(world: Enumeration, places: Iterable[int]) -> np.ndarray:
    """(M,) numbers of sets of templates that look alike at the places."""
    groups = np.zeros(len(world), np.int64)
    for place in places:
        keys = groups * world.examples.shape[1] + world._codes[place]
        groups = np.unique(keys, return_inverse=True)[1]
    return groups
