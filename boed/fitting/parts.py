"""The parts of a combination beside q: completion, estimator, adaptivity; each is learned into a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch

from boed.approximations import TARGETS, Approximations
from boed.combination import Combination, require_glance
from boed.completions.completion import Completion
from boed.completions.cvae import ConditionalVae, ConditionalVaeCompletion
from boed.completions.exact import ExactCompletion
from boed.completions.factor_analysis import FactorAnalysis, FactorAnalysisCompletion, fit_factor_analysis
from boed.completions.proposed_retrieval import (
    ProposalModel,
    ProposedRetrieval,
    folder_bank,
    new_model,
    require_bank,
)
from boed.estimators.amortised import AmortisedEstimator
from boed.fitting.cvae_training import train_cvae
from boed.fitting.estimator_training import train_estimator
from boed.posteriors.registry import enumeration
from boed.search.adaptivity import Adaptivity, affordable, estimate_adaptivity, sample
from data.dataset import DataSet, Split
from data.device import at_device
from data.errors import CheckpointError
from data.files import write_json
from data.tensors import load_tensors, save_tensors

FACTORS = 64
PARTS = ("completion-*.safetensors", "estimator-*.safetensors", "shrinkage*.json")  # files beside q's
NEW_ESTIMATOR = "fit-state-estimator.safetensors"
NEW_CVAE = "fit-state-cvae.safetensors"


def add_parts(learned: Approximations, combination: Combination, dataset: DataSet, folder: Path) -> None:
    """Completes `learned`, which has q, to a combination: from files in `folder`, or learned into them."""
    require_glance(combination, learned.geometry, learned.glimpses)
    learned.combination = combination
    if combination.completion == "exact":
        _make_exact(learned, dataset)
    elif not combination.labelled and combination.estimator == "completion":
        learned.generator = _generator(learned, dataset, folder)
    if combination.estimator == "amortised":
        learned.estimator = _estimator(learned, folder)
    found = _adaptivity(learned, folder)
    learned.weights, learned.targets = found.weights, found.targets


def _make_exact(learned: Approximations, dataset: DataSet) -> None:
    """Takes all templates for the bank, and those that are consistent with a history for its completions."""
    world = enumeration(dataset, learned.geometry, learned.places.cpu())
    learned.bank = world.bank.to(learned.places.device)
    learned.retrieval = ExactCompletion(learned.bank, learned.geometry.retina())
    learned.forget()


def _generator(learned: Approximations, dataset: DataSet, folder: Path) -> Completion:
    name = learned.combination.completion
    folder_tag = f"-{Path(learned.combination.bank).name}" if learned.combination.bank else ""
    path, settings = folder / f"completion-{name}{folder_tag}.safetensors", learned.settings
    sizes = {"resolution": int(settings["resolution"])}
    if path.exists():
        return _load_generator(learned, path, sizes)
    made = _learn_generator(learned, dataset, folder, sizes)
    save_tensors(path, made.network.state_dict(), {"settings": settings})
    (folder / NEW_CVAE).unlink(missing_ok=True)
    return made


def _load_generator(learned: Approximations, path: Path, sizes: dict[str, int]) -> Completion:
    """What `_generator` saved."""
    tensors, _ = load_tensors(path, "boed fit")
    name = learned.combination.completion
    made: Completion
    if name == "cvae":
        made = ConditionalVaeCompletion(ConditionalVae(learned.geometry, **sizes))
    elif name == "gaussian":
        factors = len(tensors["loadings"])
        made = FactorAnalysisCompletion(FactorAnalysis(learned.geometry, factors=factors, **sizes))
    else:
        bank = _retrieved_from(learned)
        require_bank(tensors["bank_digest"], bank, path)
        faces, images, factors = tensors["codes"].shape
        network = FactorAnalysis(learned.geometry, factors=factors, **sizes)
        made = ProposedRetrieval(ProposalModel(network, images, faces), bank)
    made.network.load_state_dict(tensors)
    made.network.eval().to(learned.places.device)
    return made


def _retrieved_from(learned: Approximations) -> Split:
    """The images of proposals: those of a folder if one was named, else the labelled ones."""
    folder = learned.combination.bank
    if folder is None:
        return learned.bank
    return at_device(folder_bank(Path(folder), learned.geometry), learned.places.device)


def _learn_generator(
    learned: Approximations, dataset: DataSet, folder: Path, sizes: dict[str, int]
) -> Completion:
    train = at_device(dataset["train"], learned.places.device)
    rows = (~torch.isin(train.ids, learned.bank.ids)).nonzero().view(-1)
    name = learned.combination.completion
    if name != "cvae":
        factors = min(FACTORS, len(rows) - 1)
        gaussian = fit_factor_analysis(train, rows, learned.geometry, factors=factors, **sizes)
        return gaussian if name == "gaussian" else _proposed(learned, gaussian, symmetric=dataset.symmetric)
    network = train_cvae(
        train,
        rows,
        learned.geometry,
        glimpses=learned.glimpses,
        places=learned.places,
        iterations=int(learned.settings["iterations"]),
        seed=int(learned.settings["seed"]),
        state=folder / NEW_CVAE,
        **sizes,
    )
    return ConditionalVaeCompletion(network)


def _proposed(
    learned: Approximations, gaussian: FactorAnalysisCompletion, *, symmetric: bool
) -> ProposedRetrieval:
    """Retrieval with proposals by the factors of `gaussian`."""
    bank = _retrieved_from(learned)
    return ProposedRetrieval(new_model(gaussian.factors, bank, symmetric=symmetric), bank)


def _estimator(learned: Approximations, folder: Path) -> AmortisedEstimator:
    score, settings = learned.combination.score, learned.settings
    path = folder / f"estimator-{score}.safetensors"
    torch.manual_seed(int(settings["seed"]))
    estimator = AmortisedEstimator(learned.geometry.glimpse_shape(), len(learned.places), learned.glimpses)
    estimator.to(learned.places.device)
    if path.exists():
        estimator.load_state_dict(load_tensors(path, "boed fit")[0])
        return estimator.eval()
    train_estimator(
        estimator,
        learned.embedded(),
        score=score,
        glimpses=learned.glimpses,
        iterations=int(settings["iterations"]),
        seed=int(settings["seed"]),
        state=folder / NEW_ESTIMATOR,
        task=settings | {"score": score},
    )
    save_tensors(path, estimator.state_dict(), {"settings": settings})
    (folder / NEW_ESTIMATOR).unlink(missing_ok=True)
    return estimator


def _adaptivity(learned: Approximations, folder: Path) -> Adaptivity:
    """Read, or estimated; what is exact needs no shrinkage."""
    if learned.combination.posterior == "exact" or learned.combination.completion == "exact":
        return Adaptivity((1.0,) * learned.glimpses, (TARGETS[0],) * learned.glimpses)
    path = folder / f"shrinkage{learned.combination.tag}.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text())
            return Adaptivity(tuple(kept["weights"]), tuple(kept["targets"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"expected weights and targets in {path}, found it damaged ({error}); delete it and run "
                "`boed fit` again"
            ) from None
    found = _estimated(learned, int(learned.settings["seed"]))
    write_json(path, asdict(found))
    return found


def _estimated(learned: Approximations, seed: int) -> Adaptivity:
    """Estimated on bank images, none of which proposals may then find: it would explain itself."""
    proposed = learned.generator
    if not isinstance(proposed, ProposedRetrieval) or proposed.bank is not learned.bank:
        return estimate_adaptivity(learned, seed)
    count = affordable(learned, len(learned.bank) // 2)
    with proposed.without(sample(len(learned.bank), count, learned.places.device)):
        return estimate_adaptivity(learned, seed, images=count)
