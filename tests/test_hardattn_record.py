"""What a trained network looks at, recorded and imitated."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import GEOMETRY, tiny_dataset
from torch import Tensor

from data.errors import SettingsError, StoreError
from hardattn import recording as record
from hardattn.cli.main import main
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.model.rollout import Rollout
from hardattn.runs import train
from hardattn.training.budget import Budget
from hardattn.training.checkpoint import weights_digest
from hardattn.training.recipe import Recipe
from supervision.store import SequenceStore

RECIPE = Recipe(batch_size=16, hidden=16, learning_rate=1e-2, policy_shapes_state=True)
SHORT: dict[str, Any] = {"recipe": RECIPE, "budget": Budget(epochs=2), "device": "cpu"}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    monkeypatch.setattr(record, "BLOCK", 5)


def trained(folder: Path, policy: str = "categorical", **options: Any) -> Path:
    return train(tiny_dataset(), folder, **(SHORT | {"recipe": replace(RECIPE, policy=policy)} | options))


def recorded(run: Path, **options: Any) -> SequenceStore:
    return record.record(run, dataset=tiny_dataset(), device="cpu", **options)


def greedy(run: Path, part: str = "design") -> Rollout:
    """All images of the split in one batch."""
    network = open_trained(run, dataset=tiny_dataset(), device="cpu").network
    return look_at_all(network, tiny_dataset()[part], GEOMETRY, 3, mode="greedy")


@pytest.mark.parametrize("policy", ["categorical", "gaussian", "mixture"])
@pytest.mark.parametrize("part", ["design", "train"])
def test_recorded_locations_are_those_of_a_greedy_rollout(tmp_path: Path, policy: str, part: str) -> None:
    run = trained(tmp_path / "run", policy)
    store = recorded(run, part=part)
    found, seen = store.load(), greedy(run, part)
    assert store.path == tmp_path / f"sequences-recorded{'' if part == 'design' else '-train'}.h5"
    assert store.done.all() and torch.equal(store.ids, tiny_dataset()[part].ids)
    assert torch.equal(found.locations, seen.locations)
    assert found.epe.isnan().all() and found.epe_map.shape == (len(store.ids), 3, 0)
    for step, logits in enumerate([seen.prior, *seen.logits.unbind(1)]):
        p = logits.softmax(1)
        torch.testing.assert_close(found.entropy[:, step], -(p * p.log()).sum(1))


def test_settings_tell_the_network(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", seed=3)
    settings = recorded(run).settings
    network = open_trained(run, dataset=tiny_dataset(), device="cpu").network
    assert settings == {
        "dataset": "tiny",
        "target": "label",
        "fingerprint": tiny_dataset()["design"].fingerprint,
        "geometry": GEOMETRY.to_json(),
        "design": {"source": "recorded", "method": "ram", "seed": 3, "weights": weights_digest(network)},
    }


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_an_interrupted_recording_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    run = trained(tmp_path / "run")
    straight = recorded(run, out=tmp_path / "straight.h5").path.read_bytes()
    write, calls = SequenceStore.write, list[Tensor]()

    def interrupted(self: SequenceStore, rows: Tensor, sequences: Any) -> None:
        if len(calls) == blocks:
            raise KeyboardInterrupt
        calls.append(rows)
        write(self, rows, sequences)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(SequenceStore, "write", interrupted)
        recorded(run, out=tmp_path / "parts.h5")
    assert SequenceStore.read(tmp_path / "parts.h5").done.sum() == 5 * blocks
    monkeypatch.setattr(record, "BLOCK", 4)  # also in other blocks
    for _ in range(2):  # the second time nothing is left to do
        assert recorded(run, out=tmp_path / "parts.h5").path.read_bytes() == straight


def test_more_images_later_give_the_same_sequences(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    assert recorded(run, images="7", out=tmp_path / "grown.h5").done.sum() == 7
    grown, whole = recorded(run, out=tmp_path / "grown.h5"), recorded(run)
    assert torch.equal(grown.ids, whole.ids) and torch.equal(grown.done, whole.done)
    one, other = grown.load(), whole.load()
    assert torch.equal(one.locations, other.locations) and torch.equal(one.entropy, other.entropy)


def test_another_network_is_refused_and_the_store_is_left_alone(tmp_path: Path) -> None:
    before = recorded(trained(tmp_path / "one")).path.read_bytes()
    with pytest.raises(StoreError, match=r'design = .*"seed": 1.*found.*"seed": 0'):
        recorded(trained(tmp_path / "two", seed=1))
    assert (tmp_path / "sequences-recorded.h5").read_bytes() == before


@pytest.mark.parametrize("method", ["random", "centre"])
def test_a_network_without_a_learned_policy_is_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(SettingsError, match=f"learned where to look, found one of {method}"):
        recorded(trained(tmp_path / "run", method=method))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("images", ["0", "-1", "some"])
def test_impossible_numbers_of_images_are_refused(tmp_path: Path, images: str) -> None:
    run = trained(tmp_path / "run")
    with pytest.raises(SettingsError, match="images"):
        recorded(run, images=images)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_network_imitates_what_was_recorded(tmp_path: Path) -> None:
    store = recorded(trained(tmp_path / "first", seed=5))
    before, after = (
        trained(tmp_path / name, method="ps-ram", store=store, budget=Budget(epochs=epochs))
        for name, epochs in (("before", 0.3), ("after", 60))
    )
    wanted = store.load().locations
    same = [(greedy(run).locations == wanted).all(-1).double().mean().item() for run in (before, after)]
    assert same[1] > 0.8 > same[0]


def test_locations_off_the_grid_are_for_policies_without_one(tmp_path: Path) -> None:
    store = recorded(trained(tmp_path / "gaussian", "gaussian"))
    on_grid = (store.load().locations[..., None, :] == GEOMETRY.grid().locations).all(-1).any(-1)
    assert not on_grid.all()
    with pytest.raises(SettingsError, match=r"on the 4 x 4 grid, found \[.*--policy gaussian"):
        trained(tmp_path / "categorical", method="ps-ram", store=store)
    assert not (tmp_path / "categorical").exists()
    for policy in ("gaussian", "mixture"):
        recipe = replace(RECIPE, policy=policy, mirror=True)
        run = trained(tmp_path / policy / "run", recipe=recipe, method="ps-ram", store=store)
        told = json.loads((run / "run.json").read_text())["settings"]["supervision"]
        assert told["images"] == 12 and told["settings"]["design"]["source"] == "recorded"


def test_locations_outside_of_the_image_are_refused(tmp_path: Path) -> None:
    store = recorded(trained(tmp_path / "gaussian", "gaussian"))
    far = store.load()
    far.locations[4, 1] = torch.tensor([3, 13, 4])
    store.write(torch.arange(12), far)
    with pytest.raises(SettingsError, match=r"at most \[12, 12\], found \[3, 13, 4\]"):
        trained(tmp_path / "other", "gaussian", method="ps-ram", store=store)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_on_the_command_line_one_run_imitates_another(tmp_path: Path) -> None:
    short = ["--run", tmp_path, "--glimpses", 2, "--epochs", 0.02, "--device", "cpu"]
    assert call("train", *short).exit_code == 0
    missing = call("train", *short, "--method", "ps-ram", "--supervise")
    assert_refused(missing, "sequences-recorded.h5", "found none")
    done = call("record", tmp_path / "hardattn-ram-0", "--images", 6, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "6 sequences of 2 glimpses" in done.stdout and "--method ps-ram" in done.stdout
    imitated = call("train", *short, "--method", "ps-ram", "--supervise")
    assert imitated.exit_code == 0, imitated.output
    settings = json.loads((tmp_path / "hardattn-ps-ram-0" / "run.json").read_text())["settings"]
    assert settings["supervision"]["images"] == 6
    assert SequenceStore.read(tmp_path / "sequences-recorded.h5").origin["name"] == "digits"
