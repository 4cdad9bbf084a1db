"""A compiled training step: the same as one that is not, taken up as it was left, and one line where it fails."""

import re
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hardattn_tiny import interrupted_after, tiny_dataset, tiny_network, tiny_split, tiny_store
from torch import Tensor

from data.errors import SettingsError
from data.tensors import load_tensors
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
    dataset, images = tiny_dataset(), tiny_split(24, 0)
    grid, guided = dataset.geometry.grid(), {}
    if METHODS[method].supervised:
        places = grid.locations[torch.arange(24).view(12, 2) % len(grid)]
        guided = {"supervised": tiny_split(12, 1), "locations": places, "gains": gains}
    batches = MixedBatches(images, STEPS, recipe.batch_size, **guided)
    network = tiny_network(**{**recipe.network, "hidden": recipe.hidden})
    return Learner(network, METHODS[method], batches, dataset.geometry, recipe, 3), iter(batches)


def traced(learner: Learner) -> None:
    """The step is traced as a whole, forward and backward, and not made into a program."""
    learner.forward = torch.compile(learner.forward, fullgraph=True, dynamic=False, backend="aot_eager")


def assert_same_steps(method: str, recipe: Recipe, prepare: Any, gains: Tensor | None = None) -> None:
    (plain, batches), (other, _) = (learner_of(method, recipe, gains) for _ in (0, 1))
    prepare(other)
    for step in range(3):
        batch = next(batches)
        plain.step(batch, step / 3)
        other.step(batch, step / 3)
    for one, two in zip(plain.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-4)
    before = tiny_network(**{**recipe.network, "hidden": recipe.hidden})
    moved = zip(before.parameters(), plain.network.parameters(), strict=True)
    assert any((one - two).abs().max() > 1e-3 for one, two in moved)


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


def test_a_compiled_step_is_the_plain_one_but_for_rounding() -> None:
    """With dropout, jitter, mirrored images and the places that are drawn: the same draws in both."""
    torch.compiler.reset()
    assert_same_steps("ps-nogs", RECIPE, Learner.compile)


def weights(folder: Path) -> dict[str, Tensor]:
    return load_tensors(folder / checkpoint.LAST, checkpoint.COMMAND)[0]


def test_a_compiled_run_is_taken_up_as_it_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 2)
    store = tiny_store(tmp_path / "sequences.h5", tiny_dataset(), steps=STEPS)
    options: dict[str, Any] = {"store": store, "glimpses": STEPS, "recipe": RECIPE, "device": "cpu"}
    options |= {"budget": Budget(epochs=0.7), "compile_step": True}  # 5 iterations
    whole = train(tiny_dataset(), tmp_path / "whole", **options)
    assert re.search(r"compile the training step.*1/1", capsys.readouterr().err)
    with interrupted_after(3, monkeypatch):
        train(tiny_dataset(), tmp_path / "parts", **options)
    parts = train(tiny_dataset(), tmp_path / "parts", **options)
    one, two = weights(whole), weights(parts)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


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
    with pytest.raises(
        SettingsError, match=r"found no no-such-compiler; install one, .* leave --compile out"
    ):
        train(tiny_dataset(), tmp_path / "run", compile_step=True, device="cpu")
    assert not (tmp_path / "run").exists()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(
        SettingsError, match=r"headers of Python with --compile, found no .*Python\.h; install"
    ):
        require_compiler()


def test_what_cannot_be_compiled_is_said_in_one_line() -> None:
    def looks_at_values(values: Tensor) -> dict[str, Tensor]:
        return {"loss": values if values.sum() > 0 else -values}

    program = compiled(looks_at_values, torch.device("cpu"))
    with pytest.raises(SettingsError, match=r"compiled as a whole, found .*; leave --compile out$") as caught:
        program(torch.ones(2))
    assert "\n" not in str(caught.value)
