"""The estimator that is the mean score over completions, of whichever sort they are."""

from __future__ import annotations

from boed.completions.retrieval import RetrievalCompletion
from boed.estimators.bank_belief import BankBelief
from boed.estimators.estimator import Belief, BeliefParts
from boed.estimators.generated_belief import GeneratedBelief


def completion_belief(parts: BeliefParts) -> Belief:
    """With the images that the generator makes, where there is one, else with those of the bank."""
    if parts.generator is not None:
        seeds = (parts.noise[:, 0] * 2**53).long()
        return GeneratedBelief(
            parts.q, parts.generator, parts.places, parts.geometry, seeds, parts.completions, parts.score
        )
    retrieval = parts.retrieval or RetrievalCompletion(parts.bank.split, parts.geometry.retina())
    return BankBelief(parts.bank, retrieval, parts.noise, parts.completions, parts.score, parts.excluded)
