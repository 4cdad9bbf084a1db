"""An exported step says what the network says: in PyTorch, in both file formats, in the example's loop."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_split
from PIL import Image

import hardattn
from data import linear
from data.errors import SettingsError
from data.geometry import Geometry, affine_crops
from data.pool import ImagePool
from hardattn.baselines.training import train_baseline
from hardattn.cli.main import main
from hardattn.exporting.export import Exported, export
from hardattn.exporting.registry import FORMATS
from hardattn.exporting.step import Step
from hardattn.exporting.traced import inputs_for, quietly
from hardattn.loading import TrainedNetwork, build
from hardattn.model.looking import look_of
from hardattn.prediction import predict
from hardattn.stopping.online import Walker
from hardattn.stopping.registry import RULES
from hardattn.stopping.stop import Stop
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe
from hardattn.training.settings import NetworkSettings

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "predict_onnx.py"
STEPS = 3
GLANCE, WIDE = replace(GEOMETRY, first_glance=True), replace(GEOMETRY, sides=(4, 8, 16))
CROPS = affine_crops(Geometry(16, 16, 1, glimpse_size=4))
NETWORKS: dict[str, tuple[Geometry, dict[str, Any]]] = {
    "conv, gru, categorical": (GEOMETRY, {}),
    "plain, rnn, gaussian": (GEOMETRY, {"encoder": "plain", "core": "rnn", "policy": "gaussian"}),
    "linear, lstm, mixture, glance": (
        GLANCE,
        {"encoder": "linear", "core": "lstm", "policy": "mixture", "combine": "concat", "halts": True},
    ),
    "product, retina": (replace(GEOMETRY, scales=2), {"policy": "product", "combine": "add"}),
    "no place twice, wide": (WIDE, {"policy": "epe", "encoder": "patches", "batch_norm": True}),
    "every glimpse kept": (GLANCE, {"core": "attention", "policy": "glance"}),
    "crops": (
        CROPS,
        {"core": "mean", "policy": "affine-attention", "encoder": "residual", "combine": "clue"},
    ),
    "crops by a map": (CROPS, {"core": "attention", "policy": "affine-map", "encoder": "residual"}),
}


def run_of(name: str = "conv, gru, categorical", method: str = "ram") -> TrainedNetwork:
    """An untrained network of `NETWORKS`, as if it was trained by a method."""
    geometry, chosen = NETWORKS[name]
    recipe = Recipe(hidden=16, dropout=0.0, **chosen)
    task = {"dataset": "tiny", "target": "label", "classes": ("left", "right"), "geometry": geometry}
    facts: Any = {"seed": 0, "fingerprint": "", "budget": Budget(epochs=1), "recipe": recipe}
    settings = NetworkSettings(**task, **facts, method=method, glimpses=STEPS)
    torch.manual_seed(1)
    return TrainedNetwork(build(settings).eval(), settings, {}, [], {})


def step_of(run: TrainedNetwork) -> Step:
    network, settings = run.glimpsing()
    return Step(network, settings.geometry.grid())


def exported_to(folder: Path, run: TrainedNetwork, kind: str, **options: Any) -> Exported:
    return export(run, folder / f"step{FORMATS[kind].suffix}", kind=kind, **options)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The module of the example; skipped where there is no onnxruntime, or nothing that writes ONNX."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    spec = importlib.util.spec_from_file_location("predict_onnx", EXAMPLE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_steps_are_what_prediction_takes(name: str) -> None:
    (network, settings), images = run_of(name).glimpsing(), tiny_split(6, 3)
    grid, retina = settings.geometry.grid(), settings.geometry.known_retina()
    look = look_of(ImagePool([images]), retina, network.device)
    walker = Walker(network, look, len(images), grid, STEPS, "greedy", 0)
    wanted = walker.until(RULES["fixed"], STEPS).log_probs.exp()
    step = Step(network, grid)
    state, _, place = inputs_for(step, len(images), settings.geometry.glimpse_shape())
    places, said = [], dict[str, torch.Tensor]()
    for _ in range(STEPS):
        places.append(place)
        seen = look(torch.arange(len(images)), (place if step.differentiable else place.long())[:, None])[
            :, 0
        ]
        state, chances, place, *spoken = step(state, seen, place)
        said = dict(zip(step.heads, spoken, strict=True))
    torch.testing.assert_close(chances, wanted, atol=1e-6, rtol=0)
    assert torch.equal(torch.stack(places, 1).round().long(), walker.locations)
    assert set(said) == set(walker.predictions.said)


@pytest.mark.parametrize(
    ("name", "stop", "without", "batch"),
    [
        ("plain, rnn, gaussian", "entropy=0.68", ("gain", "accuracy_gain"), None),
        ("linear, lstm, mixture, glance", "halting=0.5", (), 1),
    ],
)
def test_the_example_says_from_a_file_what_the_network_says(
    name: str, stop: str, without: tuple[str, ...], batch: int | None, tmp_path: Path, example: ModuleType
) -> None:
    run, images = run_of(name), tiny_split(6, 3).images
    for head in without:
        del run.glimpsing()[0].heads[head]
    found = exported_to(tmp_path, run, "onnx", stop=Stop.parsed(stop), batch=batch)
    session = example.onnxruntime.InferenceSession(found.file)
    assert json.loads(found.about.read_text()) == found.facts
    assert json.loads(session.get_modelmeta().custom_metadata_map["facts"]) == found.facts
    assert not set(without) & set(found.facts["outputs"]) and found.difference < 1e-5
    answers = predict(run, images, Stop.parsed(stop))
    for number, image in enumerate(images.numpy()):
        said = example.predict(session, found.facts, image)
        assert said["label"] == answers.names[number]
        assert said["places"] == answers.places[number, : answers.taken[number]].tolist()
        np.testing.assert_allclose(said["probabilities"], answers.probabilities[number], atol=1e-5)


def test_a_file_of_torch_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "ONEDNN", True)  # the operator of this project would be taken
    run = run_of("crops")
    found = exported_to(tmp_path, run, "torch")
    with quietly():
        program = torch.export.load(found.file)
    assert linear.ONEDNN and not [node for node in program.graph.nodes if "hardattn" in str(node.target)]
    assert not [name for name in program.state_dict if "baseline" in name or "auxiliary" in name]
    inputs = inputs_for(step_of(run), 5, run.settings.geometry.glimpse_shape(), seed=7)
    with torch.no_grad():
        for one, other in zip(program.module()(*inputs), step_of(run)(*inputs), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_command_and_the_example_as_a_program(tmp_path: Path, example: ModuleType) -> None:
    recipe, dataset = Recipe(batch_size=16, hidden=16, learning_rate=1e-2), tiny_dataset()
    hardattn.train(dataset, folder=tmp_path, budget=Budget(epochs=4), recipe=recipe, device="cpu")
    names = [tmp_path / f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        image = dataset["test"].images[number].numpy()
        Image.fromarray(image[..., 0]).save(name)
        np.save(name.with_suffix(".npy"), image)
    done = call(tmp_path, "--batch", 1, "--budget-glimpses", 2)
    assert done.exit_code == 0, done.stderr
    file = tmp_path / "step.onnx"
    assert f"wrote {file} (opset 18, " in done.stdout and f"batch 1) and {file}.json" in done.stdout
    facts = json.loads((tmp_path / "step.onnx.json").read_text())
    stop = f"{facts['stop']['rule']}={facts['stop']['threshold']!r}"
    words = [sys.executable, EXAMPLE, file, *(name.with_suffix(".npy") for name in names)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    told = CliRunner().invoke(main, ["predict", str(tmp_path), *map(str, names), "--stop", stop, "--json"])
    wanted, counts = json.loads(told.stdout)["images"], set[int]()
    for said, row in zip(map(json.loads, lines), wanted, strict=True):
        assert said["label"] == row["label"] and said["places"] == row["places"]
        np.testing.assert_allclose(said["probabilities"], list(row["probabilities"].values()), atol=1e-5)
        counts.add(len(said["places"]))
    assert min(counts) < STEPS  # something was stopped early


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words)])


def test_a_step_that_says_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FORMATS["torch"]

    def astray(content: bytes) -> Callable[..., list[torch.Tensor]]:
        opened = form.opened(content)
        return lambda inputs: [each + 0.01 for each in opened(inputs)]

    monkeypatch.setitem(FORMATS._known, "torch", replace(form, opened=astray))
    with pytest.raises(SettingsError, match=r"found a difference of 0\.01"):
        exported_to(tmp_path, run_of(), "torch", batch=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "kind", "options", "words"),
    [
        ("random", "torch", {}, "chooses its places, found one of --method random"),
        ("ram", "torch", {"stop": Stop("act", 0.05)}, "for an exported step, found act"),
        ("ram", "torch", {"stop": Stop("halting", 0.5)}, "stopping head halting, found gain, "),
        ("ram", "torch", {"stop": Stop("fixed", 4)}, "at most the 3 glimpses of training, found 4"),
        ("ram", "torch", {"stop": Stop("gain", float("inf"))}, "a finite threshold of gain, found inf"),
        ("ram", "tensorflow", {}, "export format of onnx, torch; found 'tensorflow'"),
        ("ram", "onnx", {}, r"onnxscript for --format onnx, found: .*; pip install 'boed-hardattn\[onnx\]'"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    method: str, kind: str, options: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=words):
        export(run_of(method=method), tmp_path / "step", kind=kind, **options)
    assert not list(tmp_path.iterdir())


def test_a_baseline_and_what_is_no_size_are_refused(tmp_path: Path) -> None:
    train_baseline(tiny_dataset(), tmp_path, "cnn", budget=Budget(epochs=1), device="cpu")
    assert_refused(call(tmp_path, "--format", "torch"), "takes glimpses, found the baseline cnn")
    assert_refused(call(tmp_path, "--batch", "0"), "--batch free or a whole number from 1 on, found '0'")
    assert_refused(call(tmp_path, "--format", "tf"), "export format of onnx, torch; found 'tf'")
