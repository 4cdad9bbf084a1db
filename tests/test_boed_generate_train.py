"""Designs for the images of the train split: none completes itself, and a network imitates them all."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from boed_tiny import pointer_dataset
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from torch import Tensor

import boed.cli.main
import boed.generation
import hardattn.cli.main
from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.bank_belief import BankBelief
from boed.generation import candidates_of, describe, design_settings, generate
from boed.search.designer import Designer, History, design_sequences
from data.errors import SettingsError
from data.sample import choose_images
from hardattn.evaluation import evaluate
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.learner import Learner
from supervision.batches import Batch
from supervision.store import SequenceStore

STEPS = 3
OWN = (0.0, 1.0, 1.0)  # weights with which a design follows an image's own maps
TRAIN = pointer_dataset()["train"]


@pytest.fixture
def learned(pointer_fit: Approximations) -> Approximations:
    return replace(pointer_fit, weights=OWN)


def excluded_of(learned: Approximations, rows: Tensor) -> Tensor:
    found = learned.excluded(TRAIN, rows)
    assert found is not None
    return found


def generated(path: Path, learned: Approximations, count: int | None = None) -> SequenceStore:
    dataset, designer = pointer_dataset(), Designer(learned)
    ids = choose_images(TRAIN, count)
    settings = design_settings(dataset, designer, source="design", seed=0, split="train")
    store = SequenceStore.write_to(path, settings, ids, STEPS, candidates_of(learned, "design"))
    generate(designer, TRAIN, store, glimpses=STEPS, ids=ids)
    return store


def test_images_are_found_in_the_bank_if_they_are_there(learned: Approximations) -> None:
    rows = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(0))
    found = excluded_of(learned, rows)
    inside = found.any(1)
    assert int(inside.sum()) == int(found.sum()) == len(learned.bank) < len(TRAIN)
    assert torch.equal(learned.bank.images[found[inside].int().argmax(1)], TRAIN.images[rows[inside]])
    assert not torch.isin(TRAIN.ids[rows[~inside]], learned.bank.ids).any()
    assert learned.excluded(pointer_dataset()["design"], rows[:5]) is None  # though it has the same ids


@torch.no_grad()
def test_an_image_has_no_weight_in_its_own_completions(learned: Approximations) -> None:
    rows = torch.arange(60)
    excluded = excluded_of(learned, rows)
    assert 0 < int(excluded.any(1).sum()) < 60
    history = History(Designer(learned), TRAIN, rows, seed=0, excluded=excluded)
    plain = History(Designer(learned), TRAIN, rows, seed=0)
    for each in (history, plain):
        each.look(torch.full((60,), 4))
    states = [(each.belief, each.total) for each in (history, plain) if isinstance(each.belief, BankBelief)]
    weights, free = (belief.weights(total).exp() for belief, total in states)
    assert (weights[excluded] == 0).all() and (free[excluded] > 0).all()
    others = ~excluded.any(1)
    assert torch.equal(weights[others], free[others])
    assert torch.allclose(weights.sum(1), torch.ones(60, dtype=torch.float64))


def test_designs_leave_the_image_out_and_so_does_their_report(
    learned: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, belief = list[Tensor | None](), Approximations.belief

    def noted(self: Approximations, *arguments: Any, excluded: Tensor | None) -> Any:
        given.append(excluded)
        return belief(self, *arguments, excluded=excluded)

    monkeypatch.setattr(Approximations, "belief", noted)
    designer, rows = Designer(learned), torch.arange(20)
    found = design_sequences(designer, TRAIN, rows, STEPS, OWN, seed=0)
    describe(designer, TRAIN, TRAIN.ids[rows], found.locations, seed=0)
    assert len(given) == 2
    assert all(each is not None and torch.equal(each, excluded_of(learned, rows)) for each in given)
    design_sequences(designer, pointer_dataset()["design"], rows, STEPS, OWN, seed=0)
    assert given[2] is None


def test_designs_follow_from_the_others_alone(learned: Approximations) -> None:
    """An image of the bank is designed for as if it, and nothing else, were not there."""
    row = int(torch.searchsorted(TRAIN.ids, learned.bank.ids[7]))
    found = design_sequences(Designer(learned), TRAIN, torch.tensor([row]), STEPS, OWN, seed=0)
    foreign = replace(TRAIN, fingerprint="of other images")
    itself = design_sequences(Designer(learned), foreign, torch.tensor([row]), STEPS, OWN, seed=0)
    assert torch.equal(found.epe_map[:, 0], itself.epe_map[:, 0])  # the average map
    assert not torch.equal(found.epe_map[:, 1], itself.epe_map[:, 1])


def test_designs_for_the_design_split_are_the_same_to_the_bit(learned: Approximations) -> None:
    """As they are without any exclusion."""
    split, rows = pointer_dataset()["design"], torch.arange(10)
    found = design_sequences(Designer(learned), split, rows, STEPS, OWN, seed=0)
    history = History(Designer(learned), split, rows, seed=0)
    for step, weight in enumerate(OWN):
        places, scores = history.choose(weight)
        assert torch.equal(found.epe_map[:, step], scores)
        history.look(places)
    assert torch.equal(found.locations, learned.places[history.chosen])


def test_an_interrupted_run_ends_with_the_same_bytes(
    tmp_path: Path, learned: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = generated(tmp_path / "straight.h5", learned, 30).path.read_bytes()
    monkeypatch.setattr(boed.generation, "BLOCK", 7)
    write, calls = SequenceStore.write, list[Tensor]()

    def interrupted(self: SequenceStore, rows: Tensor, sequences: Any) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(rows)
        write(self, rows, sequences)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SequenceStore, "write", interrupted)
        generated(tmp_path / "parts.h5", learned, 30)
    assert SequenceStore.read(tmp_path / "parts.h5").done.sum() == 14
    assert generated(tmp_path / "parts.h5", learned, 30).path.read_bytes() == straight


def test_proposals_from_the_images_themselves_are_refused(learned: Approximations) -> None:
    proposals = replace(learned, combination=Combination.of(completion="proposals"))
    with pytest.raises(SettingsError, match="leave an image of the train split out"):
        proposals.excluded(TRAIN, torch.arange(3))
    assert proposals.excluded(pointer_dataset()["design"], torch.arange(3)) is None
    elsewhere = replace(learned, combination=Combination.of(completion="proposals", bank="somewhere"))
    assert elsewhere.excluded(TRAIN, torch.arange(3)) is not None


def test_a_network_imitates_the_designs_of_all_training_images(
    tmp_path: Path, learned: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No batch has an image without a sequence, and the images are not held twice."""
    store, dataset = generated(tmp_path / "sequences-train.h5", learned), pointer_dataset()
    batches, step = list[Batch](), Learner.step

    def noted(self: Learner, batch: Batch, fraction: float) -> None:
        batches.append(batch)
        step(self, batch, fraction)

    monkeypatch.setattr(Learner, "step", noted)
    options: dict[str, Any] = {"batch_size": 50, "hidden": 32, "learning_rate": 1e-2}
    folder = train(
        dataset,
        tmp_path / "run",
        method="nogs-all",
        store=store,
        budget=Budget(epochs=15),
        device="cpu",
        **options,
    )
    assert len(batches) == 180
    assert all(len(batch.index) == 50 and batch.supervised.all() for batch in batches)
    seen = torch.cat([batch.index for batch in batches[:12]])
    assert sorted(seen.tolist()) == list(range(600, 1200))  # each once, numbered after the training split
    assert evaluate(folder, dataset=dataset, device="cpu").accuracy_at["3"] > 0.6  # chance is 0.25


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., None]) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for n in range(60):
        write_photo(root / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    return root


@pytest.fixture(scope="module")
def fitted_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    result = call("fit", photos, folder, "--glimpses", 2, "--places", 12, "--iterations", 12)
    assert result.exit_code == 0, result.output
    return folder


def call(
    command: str, photos: Path, folder: Path, *options: object, main: click.Group = boed.cli.main.main
) -> Result:
    task = ["--dataset", "folder", "--data-root", photos, "--run", folder, "--device", "cpu"]
    return CliRunner().invoke(main, [str(word) for word in [command, *task, *options]])


def test_on_the_command_line_they_have_files_of_their_own(
    tmp_path: Path, photos: Path, fitted_run: Path
) -> None:
    run = Path(shutil.copytree(fitted_run, tmp_path / "run"))
    for tag, count, options in (
        ("", 12, ["--images", 12]),
        ("-fixed-order", None, ["--source", "fixed-order", "--images", "all"]),
        ("-entropy-no-shrink", 2, ["--score", "entropy", "--no-shrink", "--images", 2]),
    ):
        result = call("generate", photos, run, "--split", "train", *options)
        assert result.exit_code == 0, result.output
        path = run / f"sequences-train{tag}.h5"
        assert f"hardattn train --method nogs-all --supervise {path}" in result.stdout
        store = SequenceStore.read(path)
        assert store.done.all() and len(store.ids) == (count or len(store.ids))
    shown = CliRunner().invoke(boed.cli.main.main, ["show", str(run / "sequences-train.h5")])
    assert shown.exit_code == 0, shown.output
    assert (run / "sequences-train.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "sequences.h5").exists()
    refused = call("generate", photos, run, "--images", 2, "--out", run / "sequences-train.h5")
    assert_refused(refused, "sequences-train.h5 with fingerprint", progress=None)


def test_on_the_command_line_they_are_imitated(tmp_path: Path, photos: Path, fitted_run: Path) -> None:
    """Without the name of a file: it is the method's own."""
    run = Path(shutil.copytree(fitted_run, tmp_path / "run"))
    assert call("generate", photos, run, "--split", "train", "--images", "all").exit_code == 0
    short = ["--method", "nogs-all", "--supervise", "--glimpses", 2, "--epochs", 0.5]
    result = call("train", photos, run, *short, main=hardattn.cli.main.main)
    assert result.exit_code == 0, result.output
    settings = json.loads((run / "hardattn-nogs-all-0" / "run.json").read_text())["settings"]
    store = SequenceStore.read(run / "sequences-train.h5")
    assert settings["supervision"]["images"] == len(store.ids) > 12
    assert settings["recipe"]["supervised_share"] == 1


def test_on_the_command_line_proposals_are_refused_before_a_fit(tmp_path: Path, photos: Path) -> None:
    result = call("generate", photos, tmp_path, "--split", "train", "--completion", "proposals")
    assert_refused(result, "found proposals from its labelled images", "--completion")
    assert list(tmp_path.iterdir()) == []
