"""Names of the files in a folder of approximations."""

from __future__ import annotations

from pathlib import Path

from boed.combination import Combination
from boed.completions.registry import COMPLETIONS
from boed.estimators.registry import ESTIMATORS
from data.errors import CheckpointError

FOLDER = "approximations"
"""Of a run, in which they are; a posterior other than the default adds its name."""
POSTERIOR = "approximations.safetensors"
BANK = "bank.safetensors"
COMBINATION = "combination.json"
WEIGHTS_NOW, WEIGHTS_BEFORE = "adaptivity*.json", "shrinkage*.json"
"""Patterns of the weights of own maps, and of those of fits before 0.2."""
PARTS = ("completion-*.safetensors", "estimator-*.safetensors", WEIGHTS_NOW, WEIGHTS_BEFORE)
PART_STATES = "fit-state-[!0-9]*.safetensors"
"""Patterns of what belongs to one q, and of interrupted trainings of it; those of q itself have numbers."""


def folder_in(run: Path) -> Path:
    """The folder of approximations in that of a run, or itself if it is one.

    Raises:
        CheckpointError: there is none, or several of which none has the default posterior.
    """
    if (run / POSTERIOR).exists():
        return run
    found = sorted(path.parent for path in run.glob(f"{FOLDER}*/{POSTERIOR}"))
    if run / FOLDER in found:
        return run / FOLDER
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    todo = "name one of them" if found else "run `boed fit` first, or name another folder"
    raise CheckpointError(f"expected approximations in {run}, found {names}; {todo}")


def files_of(combination: Combination) -> list[str]:
    """Of all that is learned for a combination, q first.

    >>> files_of(Combination.of(completion="cvae"))
    ['approximations.safetensors', 'completion-cvae.safetensors', 'adaptivity-cvae-entropy.json']
    """
    completion, estimator = (
        COMPLETIONS.require(combination.completion),
        ESTIMATORS.require(combination.estimator),
    )
    learned = {
        POSTERIOR: True,
        completion_file(combination): estimator.completes and completion.new is not None,
        estimator_file(combination): estimator.new is not None,
        adaptivity_file(combination): not combination.exact,
    }
    return [name for name, is_learned in learned.items() if is_learned]


def states_of(combination: Combination) -> list[str]:
    """Of the interrupted trainings of what a combination has beside q."""
    return [state_file(name) for name in (completion_file(combination), estimator_file(combination))]


def completion_file(combination: Combination) -> str:
    """Of the network of a completion, and of the folder that it retrieves from.

    >>> completion_file(Combination.of(completion="proposals", bank="of/photographs"))
    'completion-proposals-photographs.safetensors'
    """
    folder = f"-{Path(combination.bank).name}" if combination.bank else ""
    return f"completion-{combination.completion}{folder}.safetensors"


def estimator_file(combination: Combination) -> str:
    """Of the network of an estimator, by what it estimates.

    >>> estimator_file(Combination(estimator="amortised"))
    'estimator-cross-entropy.safetensors'
    """
    stem = ESTIMATORS.require(combination.estimator).stem or f"estimator-{combination.estimator}"
    return f"{stem}-{combination.score}.safetensors"


def adaptivity_file(combination: Combination) -> str:
    """Of the weights of an image's own map, and of how maps are read.

    Of fits before 0.2, whose completions had labels of their own, the weights are in files "shrinkage*.json";
    they are estimated anew.
    """
    return f"adaptivity{combination.tag}.json"


def state_file(name: str) -> str:
    """Of the interrupted training of the part in the file of this name.

    >>> state_file("completion-cvae.safetensors"), state_file("estimator-entropy.safetensors")
    ('fit-state-cvae.safetensors', 'fit-state-estimator.safetensors')
    """
    kind, _, rest = name.partition("-")
    return f"fit-state-{rest}" if kind == "completion" else f"fit-state-{kind}.safetensors"
