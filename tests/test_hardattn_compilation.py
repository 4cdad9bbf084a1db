"""A compiled training step: the same as one that is not, taken up as it was left; one line where it fails."""

import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import GEOMETRY, tiny_dataset, tiny_split
from torch import Tensor

from data.errors import SettingsError
from data.tensors import load_tensors
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.runs import train
from hardattn.training import checkpoint
from hardattn.training.budget import Budget
from hardattn.training.compilation import compiled, require_compiler
from hardattn.training.learner import Learner
from hardattn.training.recipe import Recipe
from supervision.batches import MixedBatches

RECIPE = Recipe(batch_size=8, hidden=8, mirror=True)
STEPS = 2
WARNINGS = "ignore::DeprecationWarning"  # of torch's compiler, about other parts of torch

pytestmark = [pytest.mark.filterwarnings(WARNINGS), pytest.mark.filterwarnings("ignore::UserWarning")]


def learner_of(method: str, recipe: Recipe, gains: Tensor | None = None) -> tuple[Learner, Any]:
    """The training of a small network, and its batches; a part of the images is imitated where that is."""
    images, grid = tiny_split(24, 0), GEOMETRY.grid()
    guided: dict[str, Any] = {}
    if METHODS[method].supervised:
        places = grid.locations[torch.arange(24).view(12, 2) % len(grid)]
        guided = {"supervised": tiny_split(12, 1), "locations": places, "gains": gains}
    batches = MixedBatches(images, STEPS, recipe.batch_size, **guided)
    return Learner(network_of(recipe), METHODS[method], batches, GEOMETRY, recipe, 3), iter(batches)


def network_of(recipe: Recipe) -> HardAttention:
    torch.manual_seed(0)
    return HardAttention(1, GEOMETRY.grid(), classes=2, glimpses=STEPS, **recipe.network)


def traced(learner: Learner) -> None:
    """The step is traced as a whole, forward and backward, and not made into a program."""
    learner.compile()
    learner.forward = torch.compile(learner._terms, fullgraph=True, dynamic=False, backend="aot_eager")


def assert_same_steps(method: str, recipe: Recipe, prepare: Any, gains: Tensor | None = None) -> None:
    (plain, batches), (other, _) = (learner_of(method, recipe, gains) for _ in (0, 1))
    prepare(other)
    for step in range(3):
        batch = next(batches)
        plain.step(batch, step / 3)
        other.step(batch, step / 3)
    for one, two in zip(plain.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-6)
    moved = zip(network_of(recipe).parameters(), plain.network.parameters(), strict=True)
    assert any((one - two).abs().max() > 1e-4 for one, two in moved)


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "partly": ("ps-nogs", {"gain_target": "design"}),
    "annealed": ("ps-nogs", {"anneal_supervision": True, "policy": "product"}),
    "gaussian": ("ram", {"policy": "gaussian", "core": "rnn", "encoder": "linear", "combine": "add"}),
    "halting": ("act", {"halts": True, "core": "lstm"}),
    "batch norm": ("random", {"batch_norm": True}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_step_is_traced_as_a_whole(form: str) -> None:
    torch.compiler.reset()
    method, chosen = FORMS[form]
    gains = torch.rand(12, STEPS) if "gain_target" in chosen else None
    assert_same_steps(method, replace(RECIPE, **chosen), traced, gains)


LITTLE = replace(METHODS["ram"], weights={"classification": 1.0, "reinforce": 1.0, "baseline": 1.0})
"""Few terms of the loss: every part of a program is compiled by itself, and takes its time."""


def little() -> tuple[Learner, Any]:
    recipe = Recipe(batch_size=8, hidden=8, jitter=0.0, encoder="linear", core="rnn", combine="add")
    batches = MixedBatches(tiny_split(24, 0), 1, recipe.batch_size)
    return Learner(network_of(recipe), LITTLE, batches, GEOMETRY, recipe, 3), iter(batches)


def stepped(learner: Learner, batches: Any, steps: int) -> dict[str, Tensor]:
    for _ in range(steps):
        learner.step(next(batches), 0.5)
    return learner.state()[0]


def test_a_compiled_training_is_the_plain_one_and_is_taken_up_as_it_was_left() -> None:
    """The plain one but for rounding: dropout and the places that are drawn are the same."""
    torch.compiler.reset()
    (plain, own), (whole, same), (first, batches), (second, _) = (little() for _ in range(4))
    whole.compile()
    expected, found = stepped(plain, own, 4), stepped(whole, same, 4)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-3)
    first.compile()
    stepped(first, batches, 2)
    second.restore(*first.state())
    second.compile()
    resumed = stepped(second, batches, 2)
    assert found.keys() == resumed.keys() and all(torch.equal(found[name], resumed[name]) for name in found)


def test_a_run_is_compiled_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compilations: list[dict[str, Any]] = []

    def noted(forward: Any, **options: Any) -> Any:
        compilations.append(options)
        return forward

    monkeypatch.setattr(torch, "compile", noted)
    options: dict[str, Any] = {
        "glimpses": STEPS,
        "recipe": RECIPE,
        "device": "cpu",
        "budget": Budget(epochs=1),
    }
    train(tiny_dataset(), tmp_path / "plain", **options)
    assert not compilations and "compile" not in capsys.readouterr().err
    train(tiny_dataset(), tmp_path / "run", **options, compile_step=True)
    assert [each["fullgraph"] for each in compilations] == [True]
    assert capsys.readouterr().err.count("compile the training step: 0 % of 1 step") == 1
    one, two = (load_tensors(tmp_path / run / checkpoint.LAST, "")[0] for run in ("plain", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("method", ["epe-head", "wsram"])
def test_a_method_that_is_not_compiled_is_refused(tmp_path: Path, method: str) -> None:
    with pytest.raises(SettingsError, match=f"can be compiled, found {method}; leave --compile out"):
        train(tiny_dataset(), tmp_path / "run", method=method, compile_step=True, device="cpu")
    assert not (tmp_path / "run").exists()


def test_without_a_compiler_or_headers_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_compiler()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SettingsError, match=r"found no no-such-compiler; .* leave --compile out$"):
        train(tiny_dataset(), tmp_path / "run", compile_step=True, device="cpu")
    assert not (tmp_path / "run").exists()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(SettingsError, match=r"headers of Python with .*, found no .*Python\.h;"):
        require_compiler()


def test_what_cannot_be_compiled_is_said_in_one_line() -> None:
    def looks_at_values(values: Tensor) -> dict[str, Tensor]:
        return {"loss": values if values.sum() > 0 else -values}

    program = compiled(looks_at_values, torch.device("cpu"))
    with pytest.raises(SettingsError, match=r"compiled as a whole, found .*; leave --compile out$") as caught:
        program(torch.ones(2))
    assert "\n" not in str(caught.value)
