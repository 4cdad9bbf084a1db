import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boed_tiny import PLACES, pointer_dataset
from torch import Tensor

import boed.fitting.fit_state
import boed.fitting.posterior_fit
import boed.fitting.training
import boed.search.adaptivity
from boed.approximations import FILE, Approximations
from boed.combination import Combination
from boed.estimators.bank_belief import BankBelief
from boed.fitting.fit import fit
from boed.fitting.fit_log import LOG
from boed.fitting.forward_kl import ForwardKL
from boed.fitting.posterior_fit import ROUNDS, on_policy, split_iterations
from boed.joint_model import JointModel
from boed.posteriors.posterior import best_temperature
from boed.search.codebook import partition
from boed.search.designer import Designer, History
from data.dataset import Split
from data.errors import CheckpointError, SettingsError
from data.owner import owned
from data.retina import Retina

TINY = {"iterations": 24, "width": 8}
DATASET = pointer_dataset(train=100)


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boed.fitting.fit_state, "SAVE_EVERY", 5)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Approximations:
    return fit(DATASET, tmp_path_factory.mktemp("straight"), **TINY)


def interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, after: int) -> None:
    """A fit that is killed at iteration `after`, counted over all trainings of q."""
    loss, calls = ForwardKL.differentiable_loss, list[int]()

    def counted(*args: Any) -> Tensor:
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(after)
        return loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ForwardKL, "differentiable_loss", counted)
        with pytest.raises(KeyboardInterrupt):
            fit(DATASET, folder, **TINY)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("stops", [[2], [13], [23], [7, 12, 2]])
def test_an_interrupted_fit_ends_with_the_same_approximations(
    tmp_path: Path, straight: Approximations, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    for after in stops:
        interrupt(monkeypatch, tmp_path, after)
        assert not (tmp_path / FILE).exists()
    found = fit(DATASET, tmp_path, **TINY)
    assert found.digest() == straight.digest()
    assert visible(tmp_path) == ["adaptivity.json", FILE, "bank.safetensors", "combination.json", LOG]


def visible(folder: Path) -> list[str]:
    """Names of the files in a folder, but for those of its owner."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("after", [FILE, "estimator-cross-entropy.safetensors"])
def test_a_fit_that_ends_right_after_a_file_is_completed(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What belongs to the file is there before it, and what it stands for goes in any case."""
    replace_path, amortised = Path.replace, Combination.of(estimator="amortised")

    def interrupted(self: Path, target: Path) -> Path:
        replaced = replace_path(self, target)
        if replaced.name == after:
            raise KeyboardInterrupt
        return replaced

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        fit(DATASET, tmp_path, combination=amortised, **TINY)
    assert after in visible(tmp_path)
    fit(DATASET, tmp_path, combination=amortised, **TINY)
    assert visible(tmp_path) == [
        "adaptivity-amortised.json",
        FILE,
        "bank.safetensors",
        "combination.json",
        "estimator-cross-entropy.safetensors",
        LOG,
    ]


def test_who_finds_another_fit_in_the_folder_waits_and_takes_what_it_has_learned(
    tmp_path: Path,
    straight: Approximations,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = list[Approximations]()
    with owned(tmp_path, "another fit"):
        second = threading.Thread(target=lambda: found.append(fit(DATASET, tmp_path, **TINY)))
        second.start()
        second.join(0.5)
        assert not found and "in use by another fit (process" in capsys.readouterr().err
        monkeypatch.setattr("boed.fitting.fit.learn", None)
        straight.save(tmp_path)
    second.join(60)
    assert [each.digest() for each in found] == [straight.digest()]


def saved_of(iterations: int) -> int:
    """How many of the first iterations are in a state: every fifth, and all of a finished training."""
    saved = 0
    for size in split_iterations(TINY["iterations"]):
        done = min(size, iterations)
        saved += done if done == size else done // 5 * 5
        iterations -= done
    return saved


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("after", [3, 11, 13, 18, 23])
def test_what_was_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    interrupt(monkeypatch, tmp_path, after)
    loss, calls = ForwardKL.differentiable_loss, list[int]()

    def counted(*args: Any) -> Tensor:
        calls.append(1)
        return loss(*args)

    monkeypatch.setattr(ForwardKL, "differentiable_loss", counted)
    fit(DATASET, tmp_path, **TINY)
    assert len(calls) == TINY["iterations"] - saved_of(after)


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("changed", [{"seed": 1}, {"iterations": 30}, {"width": 16}])
def test_an_interrupted_fit_of_another_task_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, int]
) -> None:
    interrupt(monkeypatch, tmp_path, 13)
    ((name, value),) = changed.items()
    with pytest.raises(CheckpointError, match=f"{name} = {value}, found {TINY.get(name, 0)}"):
        fit(DATASET, tmp_path, **TINY | changed)
    with pytest.raises(CheckpointError, match="interrupted fit .* with images = "):
        fit(pointer_dataset(train=100, seed=1), tmp_path, **TINY)


def test_what_is_saved_is_loaded(tmp_path: Path, straight: Approximations) -> None:
    straight.save(tmp_path)
    loaded = Approximations.load(tmp_path, DATASET)
    found = replace(
        loaded, weights=straight.weights, calibrations=straight.calibrations
    )  # they have a file of their own
    assert found.digest() == straight.digest() and found.settings == straight.settings
    assert found.geometry == straight.geometry and torch.equal(found.places, straight.places)
    assert torch.equal(found.bank.images, straight.bank.images)
    assert torch.equal(found.bank.labels, straight.bank.labels)
    rows = torch.arange(len(found.bank))
    assert torch.equal(found.embedded().statistics(rows), straight.embedded().statistics(rows))
    assert fit(DATASET, tmp_path).digest() == straight.digest()  # options left out take what is there
    assert fit(DATASET, tmp_path, **TINY).digest() == straight.digest()


def fit_with(folder: Path, options: dict[str, int]) -> Approximations:
    """A fit with these options; `glimpse_size` and `scales` are the geometry's."""
    sensor: dict[str, Any] = {name: options[name] for name in ("glimpse_size", "scales") if name in options}
    chosen = {name: value for name, value in options.items() if name not in sensor}
    return fit(DATASET, folder, geometry=replace(DATASET.geometry, **sensor) if sensor else None, **chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed = 1, found 0"),
        ({"iterations": 25}, "iterations = 25, found 24"),
        ({"glimpses": 2}, "glimpses = 2, found 3"),
        ({"glimpse_size": 5}, "glimpse_size = 5, found 4"),
        ({"scales": 2}, "scales = 2, found 1"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(
    tmp_path: Path, straight: Approximations, options: dict[str, int], message: str
) -> None:
    straight.save(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(CheckpointError, match=message):
        fit_with(tmp_path, options)
    assert (tmp_path / FILE).read_bytes() == before


def test_approximations_of_other_images_are_refused(tmp_path: Path, straight: Approximations) -> None:
    straight.save(tmp_path)
    with pytest.raises(CheckpointError, match=r"expected approximations of pointer label .* found those of"):
        fit(pointer_dataset(train=100, seed=1), tmp_path)
    with pytest.raises(CheckpointError, match='dataset = "other", found "pointer"'):
        fit(pointer_dataset("other", train=100), tmp_path)
    with pytest.raises(CheckpointError, match='target = "Smiling", found "label"'):
        fit(pointer_dataset(target="Smiling", train=100), tmp_path)


def test_damaged_approximations_are_refused(tmp_path: Path, straight: Approximations) -> None:
    straight.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        fit(DATASET, tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"glimpses": 0}, "glimpses of at least 1, found 0"),
        ({"glimpses": 10}, "at least 10 places for as many glimpses, found 9"),
        ({"places": 0}, "places of at least 1, found 0"),
        ({"iterations": 0}, "iterations of at least 1, found 0"),
        ({"width": 0}, "width of at least 1, found 0"),
        ({"seed": -1}, "seed of at least 0 .* found -1"),
        ({"glimpse_size": 13}, "a glimpse of 1 to 12 pixels .* found 13"),
        ({"glimpse_size": 0}, "a glimpse of at least 2 pixels, found 0"),
        ({"scales": 0}, "at least 1 scale .* found 0"),
    ],
)
def test_impossible_settings_write_nothing(tmp_path: Path, options: dict[str, int], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        fit_with(tmp_path / "run", options)
    assert not (tmp_path / "run").exists()


def test_the_bank_did_not_train_q(
    tmp_path: Path, straight: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set[int]()
    call = Retina.__call__

    def spied(self: Retina, images: Tensor, index: Tensor, locations: Tensor) -> Tensor:
        if len(index) == boed.fitting.training.BATCH:
            seen.update(index.tolist())
        return call(self, images, index, locations)

    model = JointModel.__call__

    def training(*args: Any, **kwargs: Any) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(Retina, "__call__", spied)
            return model(*args, **kwargs)

    monkeypatch.setattr(JointModel, "__call__", training)
    rows, bank = partition(DATASET["train"], 0)
    fit(DATASET, tmp_path, **TINY)
    assert seen == set(rows.tolist())
    assert torch.equal(straight.bank.ids, DATASET["train"].ids[bank])


def test_on_policy_places_are_a_prefix_of_a_history_and_then_others() -> None:
    histories = torch.tensor([[0, 1, 2], [5, 6, 7]])
    proposal = torch.zeros(1, 12)
    proposal[:, 8:] = 0.25  # so that what is not of a history can be told apart
    draw = on_policy(histories, proposal, torch.arange(12)[:, None], images=600)
    found = draw(torch.Generator().manual_seed(0))[..., 0]
    again = draw(torch.Generator().manual_seed(0))[..., 0]
    assert found.shape == (600, 3) and torch.equal(found, again)
    kept = []
    for row in found.tolist():
        length = sum(place < 8 for place in row)
        assert row[:length] in (histories[0, :length].tolist(), histories[1, :length].tolist())
        assert all(place >= 8 for place in row[length:])
        kept.append(length)
    assert np.bincount(kept).tolist() == pytest.approx([150] * 4, abs=40)
    assert {tuple(row[:2]) for row in found.tolist()} >= {(0, 1), (5, 6)}


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_temperature_undoes_a_known_overconfidence(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 3, generator=generator) * 2
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert best_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.06)


def test_no_image_of_the_bank_completes_itself(
    tmp_path: Path, straight: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    excluded = list[bool]()

    class Spied(History):
        def __init__(self, designer: Designer, split: Split, rows: Tensor, **options: Any) -> None:
            super().__init__(designer, split, rows, **options)
            if torch.equal(split.ids, straight.bank.ids):
                assert isinstance(self.belief, BankBelief)
                excluded.append(torch.equal(self.belief.distances.isinf().nonzero()[:, 1], rows))

    monkeypatch.setattr(boed.fitting.posterior_fit, "History", Spied)
    monkeypatch.setattr(boed.search.adaptivity, "History", Spied)
    fit(DATASET, tmp_path, **TINY)
    assert excluded == [True] * (ROUNDS + 2)  # weights before each round, temperatures, weights


def test_calibration_is_of_the_bank(pointer_fit: Approximations) -> None:
    assert pointer_fit.q.temperature.shape == (4,)
    assert (pointer_fit.q.temperature >= 0.1).all() and (pointer_fit.q.temperature <= 4).all()
    assert pointer_fit.q.temperature[0] == 1 and (pointer_fit.q.temperature[1:] != 1).any()
    assert not pointer_fit.q.training


def test_at_first_there_are_more_glimpses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, train = list[int](), boed.fitting.training.train_posterior

    def spied(*args: Any, **options: Any) -> None:
        sizes.append(args[4](torch.Generator()).shape[1])
        train(*args, **options)

    monkeypatch.setattr("boed.fitting.posterior_fit.train_posterior", spied)
    fit(DATASET, tmp_path, **TINY)
    assert sizes == [min(4 * 3, len(PLACES)), *[3] * (1 + ROUNDS)]
