"""What is worth knowing of a search beside its sequences: sample sizes, what coarse candidates miss."""

from __future__ import annotations

import torch
from torch import Tensor

from boed.completions.completion import WeightedCompletion
from boed.estimators.bank_belief import BankBelief
from boed.estimators.estimator import Belief
from boed.estimators.generated_belief import GeneratedBelief
from boed.search.designer import Designer, History
from boed.search.shrinkage import shrunk
from data.dataset import Split

REPORTED = 60  # images that a report is made of


@torch.no_grad()
def sample_sizes(
    designer: Designer, split: Split, rows: Tensor, locations: Tensor, *, seed: int
) -> list[tuple[float, float]]:
    """Mean effective sample size of the completions after each of T - 1 glimpses, and its target.

    Args:
        designer: with completions that are weighted; without, the list is empty.
        split, rows: images (B,).
        locations: (B, T, 3) of their sequences, all in the codebook.
    """
    history = History(designer, split, rows, seed=seed, excluded=designer.learned.excluded(split, rows))
    pairs = []
    for places in place_numbers(designer, locations)[:, :-1].T:
        history.look(places)
        pairs.append(_sample_size(history.belief, history.total))
    return [pair for pair in pairs if pair is not None]


def _sample_size(belief: Belief, totals: Tensor) -> tuple[float, float] | None:
    """Mean effective sample size now and its target, where completions are weighted."""
    if isinstance(belief, BankBelief):
        return float(belief.sample_size(totals).mean()), belief.completion.target_ess
    if isinstance(belief, GeneratedBelief) and isinstance(belief.completion, WeightedCompletion):
        return float(belief.completion.sample_size(*belief.history()).mean()), belief.completion.target_ess
    return None


@torch.no_grad()
def coarse_agreement(
    designer: Designer, split: Split, rows: Tensor, locations: Tensor, *, seed: int
) -> float:
    """Share of steps, after the first, at which all candidates would have led to the same place.

    Args:
        designer: one that searches from coarse to fine.
        split, rows: images (B,).
        locations: (B, T, 3) that it chose.
    """
    history = History(designer, split, rows, seed=seed, excluded=designer.learned.excluded(split, rows))
    same = []
    for step, places in enumerate(place_numbers(designer, locations).T):
        if step:
            full = shrunk(history.average_map(), history.own_map(), designer.weights[step])
            contrast = designer.calibrations[step].contrast if designer.calibrations else 1.0
            same.append((contrast * full + designer.cost).argmin(1) == places)
        history.look(places)
    return float(torch.stack(same).double().mean()) if same else 1.0


def place_numbers(designer: Designer, locations: Tensor) -> Tensor:
    """(...) numbers in the codebook of places (..., 3)."""
    return (locations[..., None, :] == designer.learned.places).all(-1).long().argmax(-1)
