"""Networks whose first glimpse is a glance: where they look, what the losses ask of it, whole runs."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, interrupted_after, tiny_dataset, tiny_network, tiny_split, tiny_store
from torch import Tensor

from data.errors import SettingsError, StoreError
from data.glance import thumbnails
from data.places import after_glance, is_whole, places_at, whole_image
from data.pool import ImagePool
from data.sequences import Sequences
from data.tensors import load_tensors
from hardattn.cli.main import main
from hardattn.evaluation import evaluate
from hardattn.model.rollout import Mode, Rollout, explore, follow
from hardattn.objectives import losses
from hardattn.objectives.rewards import box, reachable
from hardattn.recording import record
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.augment import Variation
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe
from supervision.store import SequenceStore

DATASET, SPLIT = tiny_dataset(), tiny_split(8, 0)
GLANCING = replace(GEOMETRY, first_glance=True)
GRID, LOOK = GLANCING.grid(), partial(ImagePool([SPLIT]).glimpses, GLANCING.retina())
EVERY = torch.arange(8)
SHORT: dict[str, Any] = {
    "recipe": Recipe(batch_size=16, hidden=16),
    "budget": Budget(epochs=2),  # 6 iterations
    "device": "cpu",
}


def glancing_store(path: Path) -> SequenceStore:
    """A glance, then the places that may be bright."""
    split, grid = DATASET["design"], GEOMETRY.grid()
    facts = {
        "dataset": "tiny",
        "target": "label",
        "fingerprint": split.fingerprint,
        "geometry": GLANCING.to_json(),
    }
    candidates = torch.cat([grid.locations, whole_image(GEOMETRY.image_size)[None]])
    store = SequenceStore.write_to(path, facts, split.ids, 3, candidates)
    places = after_glance(grid.locations[torch.tensor([4, 6])], GEOMETRY.image_size).expand(
        len(split), -1, -1
    )
    zeros = torch.zeros(len(split), 4)
    maps = torch.rand(len(split), 3, 17)
    store.write(torch.arange(len(split)), Sequences(places, zeros[:, 1:], zeros, maps))
    return store


def rollout(policy: str = "categorical", mode: Mode = "sample", seed: int = 0) -> Rollout:
    network = tiny_network(policy=policy).eval()
    generator = torch.Generator().manual_seed(seed)
    return explore(network, LOOK, EVERY, GRID, 4, mode=mode, generator=generator)


@pytest.mark.parametrize("policy", ["categorical", "gaussian", "epe"])
@pytest.mark.parametrize("mode", ["sample", "greedy", "random"])
def test_only_the_first_glimpse_is_a_glance(policy: str, mode: Mode) -> None:
    seen = rollout(policy, mode)
    assert is_whole(seen.locations, GEOMETRY).tolist() == [[True, False, False, False]] * 8
    assert (seen.locations[:, 1:] >= 0).all() and seen.chosen == slice(1, None)
    assert (seen.log_prob[:, 0] == 0).all()


def test_following_is_exploring() -> None:
    seen, network = rollout(), tiny_network().eval()
    again = follow(network, LOOK, EVERY, seen.locations, GRID)
    torch.testing.assert_close(again.logits, seen.logits)
    torch.testing.assert_close(again.log_prob, seen.log_prob)


def test_the_state_depends_on_the_whole_image_after_one_glimpse() -> None:
    dark = replace(SPLIT, images=SPLIT.images * 0)
    network, look = tiny_network().eval(), partial(ImagePool([dark]).glimpses, GLANCING.retina())
    one, other = (follow(network, each, EVERY, rollout().locations[:, :1], GRID) for each in (LOOK, look))
    assert (one.logits - other.logits).abs().amax((1, 2)).min() > 1e-4


@pytest.mark.parametrize("policy", ["categorical", "gaussian"])
def test_losses_of_the_policy_ask_nothing_of_a_glance(policy: str) -> None:
    seen = rollout(policy)
    everyone, earned = torch.ones(8, dtype=torch.bool), torch.arange(32.0).view(8, 4)
    later = {name: getattr(seen, name)[:, 1:] for name in ("locations", "log_prob", "baseline", "logits")}
    cut = replace(seen, glances=0, **later)
    assert cut.chosen == slice(0, None)
    for one, other in (
        (losses.imitation(seen, everyone), losses.imitation(cut, everyone)),
        (losses.reinforce(seen, earned, everyone), losses.reinforce(cut, earned[:, 1:], everyone)),
        (losses.baseline(seen, earned, everyone), losses.baseline(cut, earned[:, 1:], everyone)),
    ):
        torch.testing.assert_close(one, other)


def test_a_glance_is_at_no_distance_from_a_box() -> None:
    boxes = reachable(torch.tensor([[4, 0, 8, 4]]).expand(8, -1), GLANCING)
    found = box(rollout(), SPLIT.labels, boxes)
    assert (found[:, 0] == 0).all() and (found >= -1).all() and (found[:, 1:] < 0).any()


def test_variations_mirror_a_glance_and_never_shift_it() -> None:
    generator = torch.Generator().manual_seed(0)
    flipped = torch.arange(8) % 2 == 0
    plain = Variation(flipped, torch.ones(8), torch.zeros(8, 1), 3, generator)
    locations = after_glance(places_at(torch.zeros(8, 1, 2, dtype=torch.int64), 4), GEOMETRY.image_size)
    found = plain.look(LOOK, GRID)(EVERY, locations)[:, 0, 0]  # (B, G, G)
    straight = thumbnails(SPLIT.images, 4)[..., 0] / 255
    torch.testing.assert_close(found, torch.where(flipped[:, None, None], straight.flip(2), straight))
    assert is_whole(plain.locations(locations, GRID), GRID).tolist() == [[True, False]] * 8


def weights(folder: Path) -> Mapping[str, Tensor]:
    return load_tensors(folder / checkpoint.LAST, checkpoint.COMMAND)[0]


@pytest.mark.parametrize("method", ["ps-nogs", "saliency", "ram", "wsram", "epe-head", "random"])
def test_a_run_of_each_method(tmp_path: Path, method: str) -> None:
    supervised = method in ("ps-nogs", "saliency")
    store = glancing_store(tmp_path / "s.h5") if supervised else None
    options = {"store": store, "method": method, "geometry": None if store else GLANCING, **SHORT}
    folder = train(DATASET, tmp_path / "run", **options)
    settings = checkpoint.read_json(folder / checkpoint.RUN)["settings"]
    assert settings["geometry"]["first_glance"] is True
    assert set(evaluate(folder, dataset=DATASET).accuracy_at) == {"1", "2", "3"}
    if method != "random":
        found = record(folder, dataset=DATASET, images="4", device="cpu").load().locations
        assert is_whole(found, GEOMETRY).tolist() == [[True, False, False]] * 4


def test_a_run_taken_up_is_one_that_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    store = glancing_store(tmp_path / "s.h5")
    whole = train(DATASET, tmp_path / "whole", store=store, **SHORT)
    with interrupted_after(3, monkeypatch):
        train(DATASET, tmp_path / "cut", store=store, **SHORT)
    cut = train(DATASET, tmp_path / "cut", store=store, **SHORT)
    assert all(torch.equal(value, weights(cut)[name]) for name, value in weights(whole).items())


def test_sequences_and_options_must_agree(tmp_path: Path) -> None:
    plain, glancing = tiny_store(tmp_path / "p.h5", DATASET), glancing_store(tmp_path / "g.h5")
    for store, geometry in ((plain, GLANCING), (glancing, GEOMETRY)):
        with pytest.raises(StoreError, match="geometry = .*found"):
            train(DATASET, tmp_path / "run", store=store, geometry=geometry, **SHORT)
    plain.settings.pop("geometry")
    with pytest.raises(SettingsError, match="first glance exactly where the task has one, found none"):
        train(DATASET, tmp_path / "run", store=plain, geometry=GLANCING, **SHORT)
    with pytest.raises(SettingsError, match="at least 2 glimpses, one after the first glance, found 1"):
        train(DATASET, tmp_path / "run", geometry=GLANCING, glimpses=1, **SHORT)
    assert not (tmp_path / "run").exists()


def test_by_the_command_line(tmp_path: Path) -> None:
    words = ["train", "--run", str(tmp_path), "--epochs", "0.01", "--device", "cpu", "--first-glance"]
    done = CliRunner().invoke(main, [*words, "--glimpses", "2"])
    assert done.exit_code == 0, done.output
    run = checkpoint.read_json(tmp_path / "hardattn-ram-0" / checkpoint.RUN)
    assert run["settings"]["geometry"]["first_glance"] is True
    refused = CliRunner().invoke(main, [*words, "--baseline", "fc"])
    assert_refused(refused, "expected no --first-glance with --baseline")
