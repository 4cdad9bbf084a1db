"""Training runs: resumption, refusals, evaluation of what they made."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import interrupted_after, tiny_dataset, tiny_split, tiny_store

from data.dataset import DataSet
from data.errors import CheckpointError, SettingsError, StoreError
from data.geometry import Geometry
from data.logs import read_log
from data.tensors import load_tensors, save_tensors
from hardattn.evaluation import evaluate
from hardattn.objectives.methods import method_of
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import checkpoint, learner
from hardattn.training.budget import Budget
from hardattn.training.convergence import convergence
from hardattn.training.recipe import Recipe
from supervision.store import SequenceStore

RECIPE = Recipe(batch_size=16, hidden=16, learning_rate=1e-2)
SHORT = {"recipe": RECIPE, "budget": Budget(epochs=2), "device": "cpu"}  # 6 iterations


@pytest.fixture(autouse=True)
def _check_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)


@pytest.fixture
def store(tmp_path: Path) -> SequenceStore:
    return tiny_store(tmp_path / "sequences.h5", tiny_dataset())


def weights(folder: Path, name: str = checkpoint.LAST) -> dict[str, torch.Tensor]:
    return load_tensors(folder / name, checkpoint.COMMAND)[0]


def without_seconds(folder: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_log(folder / checkpoint.LOG)]


@pytest.mark.parametrize("stop_at", [1, 3, 4])
def test_resumed_run_has_the_same_bytes(
    tmp_path: Path, store: SequenceStore, stop_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tiny_dataset(), tmp_path / "whole", store=store, **SHORT)
    step = learner.Learner.step

    def interrupted(self: learner.Learner, *arguments: object) -> None:
        if self.iteration == stop_at:
            raise KeyboardInterrupt
        step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(learner.Learner, "step", interrupted)
        train(tiny_dataset(), tmp_path / "parts", store=store, **SHORT)
    parts = train(tiny_dataset(), tmp_path / "parts", store=store, **SHORT)
    for name in (checkpoint.LAST, checkpoint.MODEL):
        one, two = weights(whole, name), weights(parts, name)
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert without_seconds(whole) == without_seconds(parts)
    seconds = [line["seconds"] for line in read_log(parts / checkpoint.LOG)]
    assert seconds == sorted(seconds)


def test_the_last_line_has_the_terms_of_its_own_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is no multiple of what is between checks, and a run was taken up after the last."""
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 5)
    whole = train(tiny_dataset(), tmp_path / "whole", **SHORT)
    with interrupted_after(5, monkeypatch):
        train(tiny_dataset(), tmp_path / "parts", **SHORT)
    parts = train(tiny_dataset(), tmp_path / "parts", **SHORT)
    assert without_seconds(whole) == without_seconds(parts)
    terms = [line.get("loss_classification") for line in read_log(parts / checkpoint.LOG)]
    assert terms[0] is None and len({*terms}) == len(terms) == 3


FORMS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "momentum": 0.9, "schedule": "decay=0.5", "clip": None},
    {"optimizer": "adam", "schedule": "none", "select": "accuracy"},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_resumed_run_of_another_optimiser_has_the_same_bytes(
    tmp_path: Path, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SHORT, **form}
    whole = train(tiny_dataset(), tmp_path / "whole", **options)
    with interrupted_after(3, monkeypatch):
        train(tiny_dataset(), tmp_path / "parts", **options)
    parts = train(tiny_dataset(), tmp_path / "parts", **options)
    for name in (checkpoint.LAST, checkpoint.MODEL):
        one, two = weights(whole, name), weights(parts, name)
        assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert without_seconds(whole) == without_seconds(parts)
    recipe = checkpoint.read_json(whole / checkpoint.RUN)["settings"]["recipe"]
    assert {name: recipe[name] for name in form} == form and recipe["weight_decay"] == 0


def test_a_run_of_before_there_was_a_choice_is_taken_up(tmp_path: Path) -> None:
    """As what it was: AdamW along a cosine; another choice is refused."""
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    said = checkpoint.read_json(folder / checkpoint.RUN)
    for name in ("optimizer", "momentum", "schedule", "select"):
        del said["settings"]["recipe"][name]
    (folder / checkpoint.RUN).write_text(json.dumps(said))
    train(tiny_dataset(), tmp_path / "run", **SHORT)
    assert evaluate(folder, dataset=tiny_dataset()).test_images == 30
    with pytest.raises(CheckpointError, match=r'recipe = .*"optimizer": "sgd".*, found .*"adamw"'):
        train(tiny_dataset(), tmp_path / "run", **SHORT, optimizer="sgd")


def test_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    train(tiny_dataset(), tmp_path / "run", **SHORT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_seed_other_weights(tmp_path: Path) -> None:
    one, two = (train(tiny_dataset(), tmp_path / str(s), seed=s, **SHORT) for s in (0, 1))
    assert not torch.equal(weights(one)["network.core.start"], weights(two)["network.core.start"])


def test_learns_from_sequences(tmp_path: Path, store: SequenceStore) -> None:
    options = SHORT | {"budget": Budget(epochs=40)}
    result = evaluate(train(tiny_dataset(), tmp_path / "run", store=store, **options), dataset=tiny_dataset())
    assert result.accuracy_at["3"] > 0.9


def test_folder_of_another_run_is_refused_with_both_values(tmp_path: Path) -> None:
    train(tiny_dataset(), tmp_path / "run", seed=0, **SHORT)
    with pytest.raises(CheckpointError, match=r"seed = 7, found 0"):
        train(tiny_dataset(), tmp_path / "run", seed=7, **SHORT)


@pytest.mark.parametrize(
    ("method", "supervised", "words"),
    [
        ("ps-nogs", False, "expected sequences for method ps-nogs, found none; add --supervise"),
        ("ram", True, "expected no sequences for method ram, found some; leave out --supervise"),
        ("random", True, "expected no sequences for method random, found some; leave out --supervise"),
        ("best", False, "expected a method of ps-nogs, .*; found 'best'"),
    ],
)
def test_methods_that_do_not_fit_are_refused(method: str, supervised: bool, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        method_of(method, supervised)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"glimpses": 0}, "at least 1 glimpses, found 0; set --glimpses"),
        ({"supervised_images": 5}, "--supervise with --supervised-images, found none"),
        ({"method": "ps-nogs"}, "sequences for method ps-nogs, found none"),
    ],
)
def test_bad_settings_write_nothing(tmp_path: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        train(tiny_dataset(), tmp_path / "run", **SHORT | options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("facts", [{"target": "other"}, {"dataset": "other"}, {"fingerprint": "0"}])
def test_sequences_of_another_task_are_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    other = tiny_store(tmp_path / "other.h5", tiny_dataset(), facts)
    [(name, value)] = facts.items()
    with pytest.raises(StoreError, match=rf'other\.h5 with {name} = .*, found "{value}"'):
        train(tiny_dataset(), tmp_path / "run", store=other, **SHORT)
    assert not (tmp_path / "run").exists()


def test_geometry_is_the_stores_unless_another_is_wanted(tmp_path: Path, store: SequenceStore) -> None:
    dataset = tiny_dataset()
    dataset.geometry = Geometry(16, 16, 1, glimpse_size=6, per_axis=4)
    folder = train(dataset, tmp_path / "run", store=store, **SHORT)
    settings = checkpoint.read_json(folder / checkpoint.RUN)["settings"]
    assert settings["geometry"] == store.settings["geometry"]
    with pytest.raises(StoreError, match="geometry"):
        train(dataset, tmp_path / "other", store=store, geometry=dataset.geometry, **SHORT)


def test_supervised_images_takes_so_many_of_them(tmp_path: Path, store: SequenceStore) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", store=store, supervised_images=5, **SHORT)
    assert checkpoint.read_json(folder / checkpoint.RUN)["settings"]["supervision"]["images"] == 5


def test_budget_in_minutes_ends_between_checks_and_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 10**6)
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT | {"budget": Budget(minutes=0.005)})
    first, last = read_log(folder / checkpoint.LOG)  # that before the first iteration, and that of the last
    saved = load_tensors(folder / checkpoint.LAST, "")[1]
    assert last["iteration"] == saved["iteration"] > first["iteration"] == 0
    assert saved["seconds"] >= 0.3 and "loss_classification" in last
    before = (folder / checkpoint.LAST).read_bytes()
    train(tiny_dataset(), folder, **SHORT | {"budget": Budget(minutes=0.005)})  # it is found finished
    assert (folder / checkpoint.LAST).read_bytes() == before
    assert evaluate(folder, dataset=tiny_dataset()).test_images == 30


@pytest.mark.parametrize("method", [name for name in METHODS if name != "glimpsenet"])  # it needs maps
def test_evaluation_has_the_promised_keys(tmp_path: Path, store: SequenceStore, method: str) -> None:
    given = store if METHODS[method].supervised else None
    recipe = replace(RECIPE, **{**METHODS[method].suited, "hidden": 16})
    chosen = SHORT | {"recipe": recipe, "glimpses": 3}
    folder = train(tiny_dataset(), tmp_path / "run", method=method, store=given, **chosen)
    result = evaluate(folder, dataset=tiny_dataset()).to_json()
    assert list(result)[:11] == [
        "dataset", "target", "method", "seed", "test_images", "accuracy_at", "nll_at",
        "iterations_to_convergence", "seconds_to_convergence", "mflops_per_glimpse", "curve",
    ]  # fmt: skip
    assert list(result["curve"][0])[:6] == ["rule", "threshold", "mean_glimpses", "mflops", "accuracy", "nll"]
    assert list(result["accuracy_at"]) == ["1", "2", "3"] and result["test_images"] == 30
    fixed = [point["accuracy"] for point in result["curve"] if point["rule"] == "fixed"]
    assert fixed == list(result["accuracy_at"].values())
    assert json.loads((folder / "evaluation.json").read_text()) == result
    assert (folder / "curve.png").read_bytes()[1:4] == b"PNG"
    again = evaluate(folder, dataset=tiny_dataset()).to_json()
    assert again == result


def test_evaluation_opens_the_test_split_only(tmp_path: Path) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    alone = DataSet(
        "tiny", "label", ("left", "right"), tiny_dataset().geometry, 3, {"test": lambda: tiny_split(4, 9)}
    )
    assert evaluate(folder, dataset=alone).test_images == 4


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    with pytest.raises(CheckpointError, match='target = "other", found "label"'):
        evaluate(folder, dataset=tiny_dataset(target="other"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [("missing", "found none; make them"), ("cut", "found damaged ones"), ("other", "found others")],
)
def test_damaged_weights_are_refused(tmp_path: Path, damage: str, words: str) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    path = folder / checkpoint.MODEL
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    else:
        save_tensors(path, {"start": torch.zeros(3)}, {})
    with pytest.raises(CheckpointError, match=words):
        evaluate(folder, dataset=tiny_dataset())


def test_convergence_is_the_first_check_close_to_the_best() -> None:
    log = [{"iteration": 100 * n, "seconds": n, "nll": v} for n, v in enumerate((0.7, 0.31, 0.305, 0.3, 0.4))]
    assert convergence(log) == (100, 1)


def test_recipe_is_kept_in_the_run(tmp_path: Path) -> None:
    folder = train(tiny_dataset(), tmp_path / "run", **SHORT)
    assert checkpoint.read_json(folder / checkpoint.RUN)["settings"]["recipe"] == asdict(RECIPE)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_evaluation_agrees_between_cuda_and_cpu(tmp_path: Path, store: SequenceStore) -> None:
    options = SHORT | {"device": "cuda", "budget": Budget(epochs=40)}
    folder = train(tiny_dataset(), tmp_path / "run", store=store, **options)
    one, two = (evaluate(folder, dataset=tiny_dataset(), device=device) for device in ("cuda", "cpu"))
    assert list(one.nll_at.values()) == pytest.approx(list(two.nll_at.values()), abs=1e-3)
    assert one.accuracy_at["3"] > 0.9
