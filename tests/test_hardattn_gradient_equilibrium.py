"""Gradient equilibrium: spreads in closed form, what it leaves alone, refusals, runs that are taken up."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import MULTIGLIMPSE as SHORT
from hardattn_tiny import interrupted_after, tiny_dataset
from torch import Tensor
from torch.nn.functional import cross_entropy

import hardattn
from data.errors import SettingsError
from data.geometry import Geometry, affine_crops
from data.tensors import load_tensors
from hardattn.cli.main import main
from hardattn.model.gradient_equilibrium import explore_in_equilibrium, ratio_at
from hardattn.model.network import HardAttention
from hardattn.model.rollout import Rollout, explore
from hardattn.runs import train

CROPS = affine_crops(Geometry(24, 24, 1, glimpse_size=6), 3)
GRID = CROPS.grid()
LABELS = torch.tensor([0, 1, 2, 0])
DATASET = tiny_dataset()


def network() -> HardAttention:
    torch.manual_seed(0)
    parts: dict[str, Any] = {"encoder": "residual", "combine": "clue", "core": "attention", "hidden": 8}
    return HardAttention(1, GRID, 3, 3, policy="affine", batch_norm=True, **parts).train()


def look(index: Tensor, places: Tensor) -> Tensor:
    images = torch.randint(0, 256, (4, 24, 24, 1), generator=torch.Generator().manual_seed(1)).byte()
    return CROPS.retina()(images, index, places)


def loss_of(logits: Tensor) -> Tensor:
    """Of logits (B, T, K), the later the heavier."""
    return sum(
        ((t + 1) * cross_entropy(logits[:, t], LABELS) for t in range(logits.shape[1])), torch.zeros(())
    )


def looked(made: HardAttention, steps: int = 3, ratio: float | None = None) -> Rollout:
    if ratio is None:
        return explore(made, look, torch.arange(4), GRID, steps, mode="sample")
    return explore_in_equilibrium(made, look, torch.arange(4), GRID, steps, mode="sample", ratio=ratio)


def spied(made: HardAttention, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor]]:
    """What the localiser reads and answers, by glimpse; places keep their gradient."""
    read, chosen, act = list[Tensor](), list[Tensor](), made.act

    def noted(state: Tensor, *rest: Any) -> Any:
        action = act(state, *rest)
        action.places.retain_grad()
        read.append(state)
        chosen.append(action.places)
        return action

    monkeypatch.setattr(made, "act", noted)
    return read, chosen


def test_what_the_localiser_sends_back_has_a_share_of_the_next_spread_of_the_classifier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own gradient and the classifier's, both by themselves, against what goes on from its branch."""
    made = network()
    read, chosen = spied(made, monkeypatch)
    rollout = looked(made, ratio=100.0)
    seen: dict[int, Tensor] = {}
    for number, state in enumerate(read):
        state.register_hook(lambda gradient, number=number: seen.update({number: gradient}))
    loss_of(rollout.logits).backward()
    assert len(read) == 2 and made.memory is not None
    states = walk_states(made, rollout)
    (classifier,) = torch.autograd.grad(loss_of(made.classify(states)[:, 1:]), states)
    for number, (state, places) in enumerate(zip(read, chosen, strict=True)):
        alone = state.detach().requires_grad_()
        own = HardAttention.act(made, alone, "sample").places
        (gradient,) = torch.autograd.grad(own, alone, places.grad)
        spread = made.core.output(classifier)[:, number + 2].std()
        found = made.core.output(seen[number])
        torch.testing.assert_close(found.std(), spread / 100, rtol=1e-4, atol=0)
        one, other = seen[number] / seen[number].norm(), gradient / gradient.norm()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(found, made.core.output(gradient), rtol=0.1)


def walk_states(made: HardAttention, rollout: Rollout) -> Tensor:
    """(B, T+1, W) the states of the glimpses that were taken, without what made them."""
    states = [made.initial(4)]
    for place in rollout.locations.detach().unbind(1):
        seen = look(torch.arange(4), place[:, None])[:, 0]
        states.append(made.step(seen, CROPS.centres(place), states[-1], torch.ones(1, 1)))
    return torch.stack(states, 1).detach().requires_grad_()


def test_what_is_seen_and_the_last_localisers_weights_keep_their_numbers() -> None:
    """Of two glimpses nothing behind the localiser changes; what it reads gets another gradient."""
    gradients = []
    for ratio in (None, 8.0):
        made = network()
        logits = looked(made, 2, ratio).logits
        parts = [made.get_parameter(name) for name in ("policy_head.linear.weight", "core.norm.weight")]
        gradients.append((logits, *torch.autograd.grad(loss_of(logits), parts)))
    (plain, weights, before), (balanced, same, after) = gradients
    assert torch.equal(plain, balanced) and torch.equal(weights, same) and bool((weights != 0).any())
    assert not torch.allclose(before, after)


def test_the_ratio_goes_by_half_a_cosine() -> None:
    assert [ratio_at((8.0, 2.0), fraction) for fraction in (0.0, 0.5, 1.0)] == pytest.approx([8, 5, 2])
    assert ratio_at((8.0, 2.0), 0.25) == pytest.approx(5 + 3 / 2**0.5)
    assert ratio_at((3.0, 3.0), 0.3) == pytest.approx(3)


def weights_of(folder: Path, **chosen: Any) -> dict[str, Tensor]:
    return load_tensors(train(DATASET, folder, **SHORT | chosen) / "last.safetensors", "")[0]


def test_it_is_off_where_it_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one of its functions is called."""
    asked = list[float]()

    def noted(*rest: Any, ratio: float, **others: Any) -> Rollout:
        asked.append(ratio)
        return explore(*rest, **others)

    monkeypatch.setattr("hardattn.training.learner.explore_in_equilibrium", noted)
    plain = weights_of(tmp_path / "plain")
    assert not asked
    same = weights_of(tmp_path / "asked", gradient_equilibrium=(4.0, 2.0))
    assert asked == pytest.approx([ratio_at((4.0, 2.0), step / 6) for step in range(6)])
    assert all(torch.equal(value, same[name]) for name, value in plain.items())


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardattn.training.run_folder.is_check", lambda iteration: iteration % 2 == 0)
    plain, whole = (
        weights_of(tmp_path / str(ratios), gradient_equilibrium=ratios) for ratios in (None, (4.0, 2.0))
    )
    with interrupted_after(5, monkeypatch):
        weights_of(tmp_path / "parts", gradient_equilibrium=(4.0, 2.0))
    parts = weights_of(tmp_path / "parts", gradient_equilibrium=(4.0, 2.0))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert not all(torch.equal(value, plain[name]) for name, value in whole.items())
    _, settings = hardattn.load(tmp_path / "parts", device="cpu").run.glimpsing()
    assert list(settings.recipe.gradient_equilibrium or ()) == [4, 2]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"method": "ram"}, "expected multiglimpse with --gradient-equilibrium, found ram"),
        ({"glimpses": 1, "magnification": 1}, "expected at least 2 glimpses with --gradient-eq.*, found 1"),
        ({"policy": "affine-map"}, "expected --policy affine with --gradient-equilibrium, found affine-map"),
        ({"policy": "affine-attention"}, "expected --policy affine with --gradient-equilibrium"),
        ({"loss_at": "last"}, "expected --loss-at with a share for every glimpse with .*, found last"),
        ({"loss_at": (1.0, 1.0, 0.0)}, "expected --loss-at with a share for every glimpse with"),
        ({"auxiliary": 1.0}, "expected --auxiliary below 1 with --gradient-equilibrium, found 1.0"),
        (
            {"classification_weight": 0.0, "loss_at": "every"},
            "expected a --classification-weight above 0 with --gradient-eq",
        ),
        ({"policy_shapes_state": False}, "expected policy_shapes_state with --gradient-equilibrium"),
        ({"gradient_equilibrium": (0.0, 1.0)}, "expected FIRST or FIRST,FINAL, finite .*, found 0,1;"),
        ({"gradient_equilibrium": (1.0, 2.0, 3.0)}, "expected FIRST or FIRST,FINAL, .*, found 1,2,3;"),
        ({"compile_step": True}, "expected no --compile with --gradient-equilibrium"),
    ],
)
def test_where_it_cannot_work_it_is_refused(chosen: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=words):
        train(DATASET, tmp_path / "run", **SHORT | {"gradient_equilibrium": (2.0, 2.0)} | chosen)
    assert not (tmp_path / "run").exists()


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["train", "--device", "cpu", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--gradient-equilibrium", 2), "expected multiglimpse with --gradient-equilibrium, found ram"),
        (("--method", "multiglimpse", "--gradient-equilibrium", "much"), "expected --gradient-equilibrium F"),
        (("--method", "multiglimpse", "--gradient-equilibrium", "4,inf"), "expected FIRST or FIRST,FINAL"),
        (("--baseline", "fc", "--gradient-equilibrium", 2), "expected no --gradient-equilibrium with --base"),
    ],
)
def test_the_command_line_refuses_it_in_one_line(
    words: tuple[Any, ...], message: str, tmp_path: Path
) -> None:
    assert_refused(call("--run", tmp_path, *words), message)
    assert not list(tmp_path.iterdir())


def test_the_command_line_trains_with_it(tmp_path: Path) -> None:
    short = ("--epochs", 0.04, "--glimpses", 2, "--hidden", 8, "--magnification", 5)
    done = call("--run", tmp_path, "--method", "multiglimpse", *short, "--gradient-equilibrium", "8,2")
    assert done.exit_code == 0, done.output
    settings = json.loads((tmp_path / "hardattn-multiglimpse-0" / "run.json").read_text())["settings"]
    assert settings["recipe"]["gradient_equilibrium"] == [8, 2]
