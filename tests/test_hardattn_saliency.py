"""The method saliency: a policy regressed on EPE maps, by hand and on a task where the maps tell."""

import math
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_network, tiny_store
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.dataset import DataSet, Split
from data.digits import load_digits
from data.errors import SettingsError, StoreError
from data.places import places_at
from data.pool import ImagePool
from data.sequences import Sequences
from hardattn.cli.main import main
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore, follow, joined
from hardattn.objectives.losses import SHARPNESS, saliency
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training.augment import Variation
from hardattn.training.budget import Budget
from hardattn.training.guidance import guided_maps
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from supervision.batches import Batch, Maps, MixedBatches
from supervision.parts import write_parts
from supervision.store import SequenceStore

DATASET, GRID = tiny_dataset(), GEOMETRY.grid()
DESIGN = DATASET["design"]
REST = ("train", "valid", "test")
SHORT: dict[str, Any] = {"method": "saliency", "device": "cpu", "recipe": Recipe(batch_size=16, hidden=16)}


def mapped(
    path: Path, maps: Tensor, candidates: Tensor = GRID.locations, part: str = "design"
) -> SequenceStore:
    """All images of a split look at the places that are lowest in the same maps (T, L')."""
    split, steps = DATASET[part], len(maps)
    facts = {"dataset": "tiny", "target": "label", "fingerprint": split.fingerprint}
    store = SequenceStore.write_to(path, facts, split.ids, steps, candidates)
    lowest = maps.argmin(1) if candidates is GRID.locations else torch.arange(steps)
    places, nothing = GRID.locations[lowest], torch.zeros(len(split), steps + 1)
    every = maps.expand(len(split), -1, -1)
    told = Sequences(places.expand(len(split), -1, -1), nothing[:, 1:], nothing, every)
    store.write(torch.arange(len(split)), told)
    return store


def asked(log_probs: Tensor) -> Rollout:
    """A rollout of which only the log-probabilities (B, T, L') are looked at."""
    nothing = torch.zeros(log_probs.shape[:2])
    return Rollout(nothing, nothing, nothing, nothing, nothing, candidates=log_probs)


def test_loss_is_the_cross_entropy_to_the_softmax() -> None:
    """Two places whose scores are apart by log(3) / k: the target is 3/4 and 1/4, an infinite score is 0."""
    maps = torch.tensor([[[0.3, 0.3 + torch.tensor(3.0).log().item() / SHARPNESS, torch.inf]]])
    log_probs = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    expected = -0.75 * log_probs[0, 0, 0] - 0.25 * log_probs[0, 0, 1]
    torch.testing.assert_close(saliency(asked(log_probs), maps), expected)


def test_gradient_vanishes_where_the_policy_is_the_target() -> None:
    maps = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(0)) / 20
    logits = (-SHARPNESS * maps).clone().requires_grad_()
    loss = saliency(asked(logits.log_softmax(-1)), maps)
    loss.backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-7
    target = (-SHARPNESS * maps).softmax(-1)
    torch.testing.assert_close(loss.detach(), -(target * target.log()).sum(-1).mean())
    other = torch.zeros_like(maps).requires_grad_()
    saliency(asked(other.log_softmax(-1)), maps).backward()
    assert other.grad is not None and other.grad.abs().max() > 0.01


def test_a_tenth_of_a_nat_is_wanted_five_times_in_the_exponent() -> None:
    """k is 50 per nat: places that are 0.1 nats apart are wanted as e^5 to 1, however they are spread."""
    maps, policy = torch.tensor([[[0.3, 0.4]]]), torch.tensor([[[0.25, 0.75]]]).log()
    better = 1 / (1 + math.exp(-5))
    expected = -(better * math.log(0.25) + (1 - better) * math.log(0.75))
    assert saliency(asked(policy), maps).item() == pytest.approx(expected, rel=1e-5)


def test_without_maps_it_is_nothing() -> None:
    assert saliency(asked(torch.zeros(2, 3, 4)), None).item() == 0
    assert saliency(replace(asked(torch.zeros(2, 3, 4)), candidates=None), torch.zeros(2, 3, 4)).item() == 0


def test_log_probabilities_of_candidates_are_those_of_the_policy_before_each_glimpse() -> None:
    network, index = tiny_network().eval(), torch.tensor([3, 5])

    def look(index: Tensor, locations: Tensor) -> Tensor:
        return ImagePool([DESIGN]).glimpses(GEOMETRY.retina(), index, locations)

    told = GRID.locations[torch.tensor([[2, 7, 9], [4, 4, 1]])]
    candidates = GRID.locations[torch.tensor([[2, 7], [4, 0]])]
    found = follow(network, look, index, told, GRID, candidates)
    again = follow(network, look, index, candidates[:, :1].expand(-1, 3, -1), GRID)
    assert found.candidates is not None and found.candidates.shape == (2, 3, 2)
    torch.testing.assert_close(found.candidates[:, 0, 0], again.log_prob[:, 0])
    torch.testing.assert_close(found.candidates[1, 0, 0], found.log_prob[1, 0])
    torch.testing.assert_close(found.candidates[0, 1, 1], found.log_prob[0, 1])
    free = explore(network, look, index, GRID, 3, mode="greedy")
    both = joined([free, found])
    assert both.candidates is not None and torch.equal(both.candidates, found.candidates)
    assert free.candidates is None and joined([free, free]).cpu().candidates is None
    with pytest.raises(SettingsError, match="categorical"):
        follow(tiny_network(policy="gaussian"), look, index, told, GRID, candidates)


def test_batches_carry_the_maps_of_their_supervised_images() -> None:
    values = torch.arange(len(DESIGN), dtype=torch.float32)[:, None, None].expand(-1, 3, 4)
    batches = MixedBatches(
        DATASET["train"], 3, 16, supervised=DESIGN, locations=torch.zeros(len(DESIGN), 3, 3).long(),
        maps=Maps(values, GRID.locations[:4]),
    )  # fmt: skip
    assert batches.pool.splits[1].images is DESIGN.images
    for batch in islice(batches, 5):
        assert batch.maps is not None and batch.maps.shape == (4, 3, 4)
        assert torch.equal(batch.maps[:, 0, 0].long(), batch.index[batch.supervised] - 48)


def test_candidates_off_the_grid_are_left_out(tmp_path: Path) -> None:
    places = places_at(torch.tensor([[0, 0], [0, 1], [4, 8], [3, 8]]), 4)
    maps = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.75, 0.8], [1, 1, 1, 1]])
    store = mapped(tmp_path / "s.h5", maps, places)
    found = guided_maps(store, DESIGN, GEOMETRY, 2, "categorical")
    assert found.places.tolist() == [[0, 0, 4], [4, 8, 4]]
    torch.testing.assert_close(found.values[5], torch.tensor([[0.1, 0.3], [0.5, 0.75]]), atol=1e-3, rtol=0)


def boxed() -> DataSet:
    """The task with boxes around its bright squares."""

    def opened(split: str) -> Split:
        images = DATASET[split]
        left = 8 * images.labels
        rows = torch.full_like(left, 4)
        return replace(images, boxes=torch.stack([rows, left, rows + 4, left + 4], 1))

    return DataSet(
        "tiny", "label", ("left", "right"), GEOMETRY, 3, {s: partial(opened, s) for s in ("design", *REST)}
    )


def test_of_annotated_boxes_the_maps_say_where_the_object_is(tmp_path: Path) -> None:
    """A policy regressed on them knows where the square is once a glimpse has shown it."""
    dataset = boxed()
    store = write_parts(tmp_path / "parts.h5", dataset, "train", glimpses=3)
    maps = guided_maps(store, dataset["train"], GEOMETRY, 3, "categorical")
    assert torch.equal(maps.places, GRID.locations) and maps.values.shape == (48, 3, 16)
    on_it = maps.places[maps.values[:, 0].argmin(1)]
    assert torch.equal(on_it[:, :2], dataset["train"].boxes[:, :2])  # type: ignore[index]
    assert ((maps.values == 0).sum(-1) == 1).all() and (maps.values <= 1).all()
    recipe = Recipe(batch_size=16, hidden=16, supervised_share=1.0)
    budget = Budget(epochs=80)
    run = train(dataset, tmp_path / "run", store=store, **SHORT | {"recipe": recipe, "budget": budget})
    network = open_trained(run, dataset=dataset, device="cpu").network
    assert isinstance(network, HardAttention)
    images = dataset["test"]
    again = write_parts(tmp_path / "test.h5", dataset, "test", glimpses=3).load(torch.arange(len(images)))
    look = partial(ImagePool([images]).glimpses, GEOMETRY.retina())
    fours = torch.full_like(images.labels, 4)
    square = torch.stack([fours, 8 * images.labels, fours], 1)[:, None]
    told = follow(network.eval(), look, torch.arange(len(images)), again.locations, GRID, square)
    assert told.candidates is not None
    before, _, after = told.candidates.exp().mean((0, 2)).tolist()  # of 16 places
    assert after > 0.2 > 2 * before


@pytest.mark.parametrize(
    ("maps", "candidates", "complaint"),
    [
        (torch.zeros(3, 0), GRID.locations[:0], "EPE maps of places on the grid"),
        (torch.zeros(3, 2), torch.tensor([[1, 1, 4], [2, 2, 4]]), "EPE maps of places on the grid"),
        (torch.full((3, 16), torch.nan), GRID.locations, "finite values"),
        (torch.full((3, 16), torch.inf), GRID.locations, "finite values"),
    ],
)
def test_stores_without_maps_are_refused(
    tmp_path: Path, maps: Tensor, candidates: Tensor, complaint: str
) -> None:
    store = mapped(tmp_path / "s.h5", maps, candidates)
    with pytest.raises(StoreError, match=f"expected {complaint}.*found"):
        train(DATASET, tmp_path / "run", store=store, **SHORT)
    assert not (tmp_path / "run").exists()


def test_other_policies_are_refused(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "s.h5", DATASET)
    with pytest.raises(SettingsError, match="--policy categorical with --method saliency, found gaussian"):
        train(DATASET, tmp_path / "run", store=store, policy="gaussian", **SHORT)


@pytest.mark.parametrize("mirror", [False, True])
def test_terms_of_a_batch_by_hand(mirror: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step before any glimpse: the target of a mirrored image is the mirrored target."""
    flipped = torch.tensor([False, mirror])
    nothing = torch.zeros(2, 1)
    varied = Variation(flipped, nothing[:, 0] + 1, nothing, 0, torch.Generator())
    monkeypatch.setattr(Learner, "variation", lambda *_: varied)
    values = torch.tensor([[[0.0, 0.01, 0.02]], [[0.02, 0.0, 0.03]]])
    places = torch.tensor([1, 4, 11])
    network, recipe = tiny_network(), Recipe(batch_size=2, supervised_share=1.0)
    maps, told = Maps(values, GRID.locations[places]), GRID.locations[:1].expand(2, 1, 3)
    batches = MixedBatches(
        DATASET["train"], 1, 2, supervised=DESIGN.take(torch.tensor([0, 1])), locations=told, maps=maps,
        supervised_share=1.0,
    )  # fmt: skip
    trainer = Learner(network, METHODS["saliency"], batches, GEOMETRY, recipe, 0)
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 1)
    mirrored = torch.stack([places, torch.tensor([2, 7, 8]) if mirror else places])  # of a grid of 4 x 4
    target = torch.zeros(2, 16).scatter(1, mirrored, (-SHARPNESS * values[:, 0]).softmax(-1))
    logits = network.policy_head.linear(network.core.output(network.initial(2)))
    expected = cross_entropy(logits, target).item()
    index = torch.tensor([48, 49])
    trainer.step(Batch(index, batches.pool.labels[index], told, torch.ones(2, dtype=torch.bool), values), 0.0)
    assert trainer.terms["loss_saliency"] == pytest.approx(expected, abs=1e-5)


def test_a_network_learns_to_look_where_the_maps_are_lowest(tmp_path: Path) -> None:
    maps = torch.full((3, 16), 0.6)
    maps[torch.arange(3), torch.tensor([4, 10, 3])] = 0.3  # the first of them tells the class
    store = mapped(tmp_path / "s.h5", maps)
    folder = train(
        DATASET, tmp_path / "run", store=store, budget=Budget(epochs=80), learning_rate=1e-2, **SHORT
    )
    run = open_trained(folder, None, dataset=DATASET, device="cpu")
    seen = look_at_all(run.network, DATASET["test"], GEOMETRY, 3, mode="greedy")
    assert (seen.locations == GRID.locations[torch.tensor([4, 10, 3])]).all(-1).float().mean() > 0.9


def test_saliency_by_the_command_line(tmp_path: Path) -> None:
    digits = load_digits()
    grid, split = digits.geometry.grid(), digits["design"]
    facts = {"dataset": "digits", "target": "label", "fingerprint": split.fingerprint}
    store = SequenceStore.write_to(tmp_path / "sequences.h5", facts, split.ids[:20], 2, grid.locations)
    zeros = torch.zeros(20, 3)
    places = grid.locations[torch.tensor([40, 20])].expand(20, -1, -1)
    store.write(torch.arange(20), Sequences(places, zeros[:, :2], zeros, torch.rand(20, 2, len(grid))))
    words = [
        "--method",
        "saliency",
        "--supervise",
        "--glimpses",
        "2",
        "--epochs",
        "0.02",
        "--run",
        str(tmp_path),
    ]
    result = CliRunner().invoke(main, ["train", *words])
    assert result.exit_code == 0, result.output
    without = SequenceStore.write_to(tmp_path / "none.h5", facts, split.ids[:20], 2, grid.locations[:0])
    without.write(torch.arange(20), Sequences(places, zeros[:, :2], zeros, torch.zeros(20, 2, 0)))
    refused = CliRunner().invoke(main, ["train", *words, "--supervise", str(without.path), "--name", "none"])
    assert_refused(refused, "EPE maps of places on the grid", "none.h5")
    assert evaluate_works(tmp_path / "hardattn-saliency-0")


def evaluate_works(folder: Path) -> bool:
    return CliRunner().invoke(main, ["evaluate", str(folder), "--json"]).exit_code == 0
