"""Every combination of parts fits, is found again as it was, and is taken up where it was interrupted."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import pointer_dataset
from torch import Tensor

import boed.fitting.estimator_training
import boed.fitting.fit_state
import boed.fitting.parts
import boed.search.adaptivity
from boed.approximations import FILE, Approximations
from boed.combination import CHOICES, Combination
from boed.completions.registry import COMPLETIONS
from boed.enumeration.exact import exact_along
from boed.enumeration.task import enumeration
from boed.estimators.bank import Bank
from boed.estimators.calibration import Calibration
from boed.estimators.registry import ESTIMATORS
from boed.fitting.fit import fit
from boed.fitting.fit_log import LOG
from boed.part_files import adaptivity_file
from boed.search.adaptivity import Adaptivity
from boed.search.designer import Designer, design_sequences
from data.dataset import DataSet
from data.errors import CheckpointError, SettingsError
from data.finite import TEMPLATES, load_finite, template_of
from data.sequences import Sequences
from data.tensors import save_tensors

DATASET = pointer_dataset(train=60)
TINY: dict[str, Any] = {"iterations": 8, "width": 12, "resolution": 12}
FITTED = ("glimpse-set", "avp-cnn")


def combinations_of(posterior: str) -> list[Combination]:
    """All that can be made without enumeration."""
    found = []
    for completion, estimator, score in product(*list(CHOICES.values())[1:]):
        try:
            found.append(Combination(posterior, completion, estimator, score))
        except SettingsError:
            continue
    return [combination for combination in found if combination.completion != "exact"]


ALL = [combination for posterior in FITTED for combination in combinations_of(posterior)]
PARTS = {
    "retrieval": set[str](),
    "cvae": {"completion-cvae.safetensors"},
    "gaussian": {"completion-gaussian.safetensors"},
    "proposals": {"completion-proposals.safetensors"},
}


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    """Few images to choose the weights of adaptivity on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.search.adaptivity, "FEW_IMAGES", 4)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fitted q of each kind, in which parts are learned by whoever needs them first."""
    return tmp_path_factory.mktemp("parts")


def fitted(folder: Path, combination: Combination, dataset: DataSet = DATASET) -> Approximations:
    return fit(dataset, folder, combination=combination, **TINY)


def designed(learned: Approximations, images: int = 3) -> Sequences:
    designer = Designer(learned, completions=12, shrink=False)  # own maps alone
    rows = torch.arange(images)
    return design_sequences(designer, DATASET["design"], rows, 3, designer.weights, seed=0)


def same(one: Sequences, other: Sequences) -> bool:
    pairs = [(getattr(one, n), getattr(other, n)) for n in ("locations", "epe", "entropy", "epe_map")]
    return all(torch.equal(a, b) for a, b in pairs)


def files(folder: Path) -> set[str]:
    """Names of all but the hidden ones, which say who works there, and the log."""
    return {path.name for path in folder.glob("[!.]*")} - {LOG}


def test_these_are_all_combinations() -> None:
    assert len(ALL) == 2 * 11 and len({combination.tag for combination in ALL}) == len(ALL)


@pytest.mark.parametrize("combination", ALL, ids=lambda combination: combination.tag or "default")
def test_a_combination_fits_and_is_found_again(root: Path, combination: Combination) -> None:
    """With the same digest and the same designs; nothing is learned twice."""
    folder = root / combination.posterior
    learned = fitted(folder, combination)
    there = {path: path.stat().st_mtime_ns for path in folder.iterdir()}  # nor is it locked any more
    again = fitted(folder, combination)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == there
    assert learned.combination == again.combination == combination
    assert again.digest() == learned.digest()
    assert again.weights == learned.weights and again.calibrations == learned.calibrations
    designs = designed(learned)
    assert same(designs, designed(again))
    assert all(len({tuple(place) for place in row}) == 3 for row in designs.locations.tolist())
    assert designs.epe.isfinite().all() and designs.entropy.isfinite().all()
    assert files(folder) >= {FILE, f"adaptivity{combination.tag}.json", *parts_of(combination)}
    assert not any("state" in name or name.endswith(".new") for name in files(folder))


def parts_of(combination: Combination) -> set[str]:
    if combination.estimator == "amortised":
        return {f"estimator-{combination.score}.safetensors"}
    return PARTS[combination.completion]


def test_combinations_design_differently(root: Path) -> None:
    """Of one q: each has a digest of its own where a part is learned, and a map of its own."""
    learned = [fitted(root / FITTED[0], combination) for combination in combinations_of(FITTED[0])]
    maps = [designed(one).epe_map for one in learned]
    assert not any(torch.equal(a, b) for n, a in enumerate(maps) for b in maps[:n])


@pytest.mark.parametrize("combination", [ALL[0], *ALL[3:11:2]], ids=lambda c: c.tag or "default")
def test_the_order_in_which_parts_are_learned_does_not_matter(
    root: Path, tmp_path: Path, combination: Combination
) -> None:
    """In a folder of its own, from the same q, a combination is what it is beside others."""
    fitted(root / combination.posterior, Combination(combination.posterior))
    shutil.copy(root / combination.posterior / FILE, tmp_path / FILE)
    alone = fitted(tmp_path, combination)
    assert alone.digest() == fitted(root / combination.posterior, combination).digest()
    parts = {f"adaptivity{combination.tag}.json", *parts_of(combination)}
    assert files(tmp_path) == {FILE, "combination.json", *parts}


@pytest.mark.parametrize("combination", [ALL[0], *ALL[3:11:2]], ids=lambda c: c.tag or "default")
def test_an_interrupted_fit_of_parts_ends_with_the_same(
    root: Path, tmp_path: Path, combination: Combination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the weights of adaptivity are known, after everything else."""
    straight = fitted(root / combination.posterior, combination)
    shutil.copy(root / combination.posterior / FILE, tmp_path / FILE)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(boed.fitting.parts, "estimate_adaptivity", interrupted)
        fitted(tmp_path, combination)
    assert files(tmp_path) == {FILE, *parts_of(combination)}
    for registry in (COMPLETIONS, ESTIMATORS):  # learned already
        for name, kind in registry.items():
            if kind.fit is not None:
                monkeypatch.setitem(registry._known, name, replace(kind, fit=interrupted))
    assert fitted(tmp_path, combination).digest() == straight.digest()


def interrupted(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def test_the_weight_of_an_estimator_is_chosen_on_images_that_it_has_not_learned_from(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is found in its file."""
    combination = Combination(estimator="amortised")
    fitted(root / FITTED[0], Combination())
    shutil.copy(root / FITTED[0] / FILE, tmp_path / FILE)
    learned_from, weighed = set[int](), list[Tensor]()
    at, estimate = Bank.statistics_at, boed.search.adaptivity.estimate_adaptivity

    def spied(self: Bank, rows: Tensor, places: Tensor) -> Tensor:
        learned_from.update(rows.tolist())
        return at(self, rows, places)

    def estimated(learned: Approximations, seed: int, *, rows: Tensor) -> Adaptivity:
        weighed.append(rows)
        return estimate(learned, seed, rows=rows)

    monkeypatch.setattr(Bank, "statistics_at", spied)
    monkeypatch.setattr(boed.fitting.parts, "estimate_adaptivity", estimated)
    learned = fitted(tmp_path, combination)
    assert learned_from | set(weighed[0].tolist()) == set(range(len(learned.bank)))
    assert not learned_from & set(weighed[0].tolist()) and 4 * len(weighed[0]) <= len(learned.bank)
    (tmp_path / adaptivity_file(combination)).unlink()
    fitted(tmp_path, combination)
    assert len(weighed) == 2 and torch.equal(*weighed)


def test_versions_of_what_an_estimator_is_weighed_on_are_not_learned_from_either() -> None:
    bank = replace(DATASET["design"].take(torch.arange(6)), groups=torch.tensor([1, 1, 2, 3, 3, 3]))
    assert boed.fitting.parts._others(bank, torch.tensor([1, 3])).tolist() == [2]


@pytest.mark.parametrize("after", [3, 5])
def test_an_interrupted_estimator_is_taken_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(boed.fitting.estimator_training, "ITERATIONS_EACH", 1)
    combination = Combination(estimator="amortised")
    for name in ("straight", "resumed"):
        (tmp_path / name).mkdir()
        shutil.copy(root / FITTED[0] / FILE, tmp_path / name / FILE)
    straight, folder = fitted(tmp_path / "straight", combination), tmp_path / "resumed"
    monkeypatch.setattr(boed.fitting.fit_state, "SAVE_EVERY", 2)
    rollout, calls = boed.fitting.estimator_training._rollout_loss, list[int]()

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return rollout(*arguments)

    monkeypatch.setattr(boed.fitting.estimator_training, "_rollout_loss", counted)
    stop = after + 1
    with pytest.raises(KeyboardInterrupt):
        fitted(folder, combination)
    assert files(folder) == {FILE, "fit-state-estimator.safetensors"}
    stop = 10**6
    calls.clear()
    assert fitted(folder, combination).digest() == straight.digest()
    assert len(calls) == 8 - after // 2 * 2
    assert "fit-state-estimator.safetensors" not in files(folder)


def test_the_other_parts_are_loaded_as_they_were(root: Path) -> None:
    for completion in ("cvae", "gaussian", "proposals"):
        one, other = (
            fitted(root / FITTED[0], Combination.of(completion=completion)).generator for _ in (0, 1)
        )
        assert one is not None and other is not None and one.noise == other.noise
        assert not other.network.training
        glimpses = DATASET.geometry.retina()(
            DATASET["design"].images, torch.arange(3), torch.tensor([[[4, 4, 4]]] * 3)
        )
        noise = torch.randn(3, 4, one.noise, generator=torch.Generator().manual_seed(0))
        made = [part.complete(glimpses, torch.tensor([[[4, 4, 4]]] * 3), noise) for part in (one, other)]
        assert torch.equal(*made) and made[0].shape == (3, 4, 12, 12, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weights": [0.1]}', '{"weights": 3, "calibrations": 4}'])
def test_damaged_weights_are_refused(root: Path, tmp_path: Path, text: str) -> None:
    fitted(root / FITTED[0], Combination())
    shutil.copytree(root / FITTED[0], tmp_path / "run")
    (tmp_path / "run" / "adaptivity.json").write_text(text)
    expected = r"expected weights and calibrations in .*adaptivity.json, found it damaged"
    with pytest.raises(CheckpointError, match=expected):
        fitted(tmp_path / "run", Combination())


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [0.1, 0.2]},
        {"weights": [0.1, 0.2, "0.3"]},
        {"weights": "abc"},
        {"weights": [0.1, 0.2, float("nan")]},
        {"calibrations": [{}] * 2},
        {"calibrations": [{}, {}, {"offset": "0"}]},
        {"calibrations": [{}, {}, {"contrast": float("inf")}]},
        {"levels": None},
        {"levels": {"shifts": [0.1], "split": "those"}},
        {"levels": {"shifts": [0.1, 0.2, None], "split": "those"}},
        {"levels": {"shifts": [0.1, 0.2, float("nan")], "split": "those"}},
    ],
)
def test_weights_and_levels_that_are_not_a_number_for_each_glimpse_are_refused(
    root: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    fitted(root / FITTED[0], Combination())
    shutil.copytree(root / FITTED[0], tmp_path / "run")
    path = tmp_path / "run" / "adaptivity.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=r"adaptivity.json, found it damaged .* again"):
        fitted(tmp_path / "run", Combination())


def test_weights_are_read_from_their_file(root: Path, tmp_path: Path) -> None:
    fitted(root / FITTED[0], Combination())
    shutil.copytree(root / FITTED[0], tmp_path / "run")
    reads = [Calibration(), Calibration(0.1, 0.5, 0.2), Calibration(contrast=2.0)]
    kept = {"weights": [0.0, 0.35, 0.6], "calibrations": [read._asdict() for read in reads]}
    (tmp_path / "run" / "adaptivity.json").write_text(json.dumps(kept))
    learned = fitted(tmp_path / "run", Combination())
    assert learned.weights == (0.0, 0.35, 0.6) and learned.calibrations == tuple(reads)
    assert learned.digest() != fitted(root / FITTED[0], Combination()).digest()


DAMAGED = ["completion-gaussian", "completion-cvae", "completion-proposals", "estimator-cross-entropy"]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_part_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    part = name.partition("-")[2]
    estimator = name.startswith("estimator")
    combination = Combination(estimator="amortised") if estimator else Combination.of(completion=part)
    fitted(root / FITTED[0], combination)
    shutil.copytree(root / FITTED[0], tmp_path / "run")
    path = tmp_path / "run" / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"{name}.safetensors, found damaged"):
        fitted(tmp_path / "run", combination)


@pytest.mark.parametrize("part", ["posterior", "completion"])
def test_what_is_exact_needs_a_finite_data_set(tmp_path: Path, part: str) -> None:
    """It is said before anything is learned."""
    with pytest.raises(SettingsError, match="expected the data set finite for what is exact, found pointer"):
        fitted(tmp_path / "run", Combination(**{part: "exact"}))
    assert not (tmp_path / "run").exists()


def test_a_combination_of_exact_parts_has_exact_values(tmp_path: Path) -> None:
    """Entropies to rounding; expected ones but for the draw of the completions. On 16 of the 64 places."""
    finite, combination = load_finite(), Combination("exact", "exact")
    coarse = replace(finite.geometry, per_axis=4)
    learned = fit(finite, tmp_path, combination=combination, glimpses=3, geometry=coarse)
    assert learned.weights == (1.0,) * 3
    assert not any("shrinkage" in name for name in files(tmp_path))  # there is nothing to shrink
    again = fit(finite, tmp_path, combination=combination, geometry=coarse)
    assert again.digest() == learned.digest() and len(again.bank) == TEMPLATES
    rows, designer = torch.arange(2), Designer(again, completions=200)
    found = design_sequences(designer, finite["design"], rows, 2, learned.weights, seed=0)
    world = enumeration(finite.name, learned.geometry, learned.places)
    exact = exact_along(world, template_of(finite["design"].ids[rows]), world.index(found.locations))
    assert torch.allclose(found.entropy, exact.entropy, atol=1e-5)
    unseen = found.epe_map[:, 1].isfinite()
    gaps = (found.epe_map[:, 1] - exact.epe_map[:, 1])[unseen]
    assert gaps.abs().max() < 0.1 and gaps.abs().mean() < 0.02 < exact.epe_map[:, 1].std() / 10


def test_an_estimator_of_another_network_is_refused(root: Path, tmp_path: Path) -> None:
    combination = Combination(estimator="amortised")
    shutil.copytree(root / FITTED[0], tmp_path / "run")
    fitted(tmp_path / "run", combination)
    path = next((tmp_path / "run").glob("estimator*"))
    save_tensors(path, {"count_bias": torch.zeros(3)}, {})
    with pytest.raises(CheckpointError, match="found others, as of an earlier .* move that file away"):
        fitted(tmp_path / "run", combination)
