"""GlimpseNet: its policy reads a glance, is regressed on saliency; its regions are averaged."""

import json
from pathlib import Path

import pytest
import torch
from hardattn_tiny import tiny_dataset, tiny_network

from data.dataset import DataSet
from data.errors import SettingsError
from data.saliency import SaliencyMaps
from hardattn.evaluation import evaluate, looked_at
from hardattn.loading import open_trained
from hardattn.model.cores import Core
from hardattn.model.fusion import MeanCore
from hardattn.runs import train
from hardattn.training.budget import Budget
from supervision.saliency import write_salient

DATASET = tiny_dataset()


def test_the_class_is_the_mean_of_those_of_each_glimpse() -> None:
    network = tiny_network(core="mean", policy="glance", glimpses=3).eval()
    state, each = network.initial(2), list[torch.Tensor]()
    for _ in range(3):
        glimpses, centres = torch.rand(2, 1, 4, 4), torch.rand(2, 2)
        each.append(network.class_head(network.features(glimpses, centres)))
        state = network.step(glimpses, centres, state)
        torch.testing.assert_close(network.classify(state), torch.stack(each).mean(0))


def test_the_order_of_glimpses_does_not_matter_to_the_mean() -> None:
    core: Core = MeanCore(5, glimpses=4)
    features = torch.rand(3, 4, 5)
    one, other = (core.sequence(f, core.initial(3))[:, -1] for f in (features, features.flip(1)))
    torch.testing.assert_close(core.output(one), core.output(other))
    torch.testing.assert_close(core.output(one), features.mean(1))


def test_the_policy_still_reads_the_glance_after_other_glimpses() -> None:
    """Two glimpses in either order have the same mean: only which was first makes a difference."""
    network = tiny_network(core="mean", policy="glance", glimpses=3).eval()
    a, b = torch.rand(2, 1, 16)
    policies = []
    for first, second in ((a, b), (b, a)):
        state = network.core(second, network.core(first, network.initial(1)))
        policies.append(network.policy(state).log_probs)
    assert (policies[0] - policies[1]).abs().max() > 1e-3


@pytest.mark.parametrize("core", ["gru", "lstm"])
def test_a_core_without_a_memory_is_refused(core: str) -> None:
    with pytest.raises(SettingsError, match="expected --core attention or mean with --policy glance"):
        tiny_network(core=core, policy="glance")


def bright(dataset: DataSet, split: str) -> SaliencyMaps:
    """The bright squares, as a mask that somebody has drawn."""
    images = dataset[split].images[..., 0]
    return SaliencyMaps(lambda rows: (images[rows] == 255) * torch.tensor(255, dtype=torch.uint8), "drawn")


def test_it_finds_what_is_salient_and_classifies_it(tmp_path: Path) -> None:
    maps = bright(DATASET, "train")
    store = write_salient(tmp_path / "s.h5", DATASET, "train", maps, glimpses=2)
    folder = train(
        DATASET, tmp_path / "run", method="glimpsenet", store=store, glimpses=2, budget=Budget(epochs=60),
        device="cpu", batch_size=16, hidden=16, dropout=0.0, jitter=0.0, mirror=False, tone=0.0,
        learning_rate=0.01,
    )  # fmt: skip
    settings = json.loads((folder / "run.json").read_text())["settings"]
    assert settings["recipe"]["core"] == "mean" and settings["geometry"]["first_glance"]
    run = open_trained(folder, dataset=DATASET, device="cpu")
    found = evaluate(folder, dataset=DATASET)
    places = looked_at(run, DATASET["test"])[0].locations[:, 0]
    squares = torch.stack([torch.full_like(DATASET["test"].labels, 4), 8 * DATASET["test"].labels], 1)
    near = (places[:, 1, :2] - squares).abs().amax(1) < 4
    assert places[0, 0].tolist() == [0, 0, 16] and near.double().mean() > 0.9
    assert found.accuracy_at["2"] > 0.9
