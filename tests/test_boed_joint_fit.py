"""One q for several attributes of the same images, and the ordinary approximations of each from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import CLASSES, FINE, POINTER, both
from cli_tiny import assert_refused
from click.testing import CliRunner

import boed.fitting.joint_fit
import boed.fitting.training
import hardattn.cli.main
from boed.approximations import FILE, Approximations
from boed.calibration import measure_calibration, measure_together
from boed.cli.main import main
from boed.combination import Combination
from boed.completions.registry import COMPLETIONS
from boed.estimators.bank import Bank
from boed.fitting.fit import fit
from boed.fitting.forward_kl import ForwardKL
from boed.fitting.joint_fit import fit_jointly
from boed.posteriors.posterior import negative_log_posterior
from boed.search.designer import Designer, design_sequences
from boed.search.levels import set_levels
from data.errors import CheckpointError, SettingsError
from data.layouts import CELEBAHQ_ANNOTATIONS as ANNOTATIONS
from data.layouts import CELEBAHQ_IMAGES as IMAGES
from data.tensors import load_tensors

TINY = {"iterations": 24, "width": 8, "places": 9}


def jointly(
    root: Path, combination: Combination | None = None, **chosen: object
) -> dict[str, Approximations]:
    return fit_jointly(
        both(), root / "shared", lambda name: root / name, combination=combination, **{**TINY, **chosen}
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joint")
    jointly(folder)
    return folder


def test_each_attribute_has_the_approximations_of_an_ordinary_fit(root: Path) -> None:
    joint = jointly(root)
    for number, name in enumerate(CLASSES):
        alone = fit(both().only(name), root / name)
        assert alone.digest() == joint[name].digest()
        assert alone.settings.target == name and alone.settings.together == "coarse,fine"
        assert torch.equal(alone.bank.labels, joint["coarse"].bank.labels) == (number == 0)
        designs = design_sequences(
            Designer(alone), both().only(name)["design"], torch.arange(4), 3, [0.5] * 3, seed=0
        )
        assert designs.locations.shape == (4, 3, 3)


def test_attributes_are_measured_on_images_that_are_embedded_once(root: Path) -> None:
    joint, unseen = jointly(root), {name: both().only(name)["valid"] for name in CLASSES}
    found = measure_together(joint, unseen, images=7)
    assert list(found) == list(CLASSES)
    for name, rows in found.items():
        assert rows == measure_calibration(joint[name], unseen[name], images=7)
        assert [row.images for row in rows] == [7] * 3


def test_attributes_share_the_network_and_have_heads_of_their_own(root: Path) -> None:
    one, other = jointly(root).values()
    states = one.q.state_dict(), other.q.state_dict()
    different = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert different <= {"head.linear.weight", "head.linear.bias", "temperature"}
    assert "head.linear.weight" in different
    assert torch.equal(one.places, other.places) and torch.equal(one.bank.ids, other.bank.ids)


def test_statistics_of_the_bank_are_computed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Approximations.load(root / "shared", both())
    kept = shared.embedded()
    monkeypatch.setattr("boed.approximations.Bank", None)
    one = shared.of_attribute(1, "fine")
    assert one.embedded().statistics(torch.arange(3)).equal(kept.statistics(torch.arange(3)))
    assert torch.equal(one.embedded().labels, kept.labels[:, 1]) and one.embedded().q is one.q


def test_a_joint_posterior_learns_every_attribute(tmp_path: Path) -> None:
    """The middle cell tells the coarse label; the fine one is told by it and two others."""
    found = fit_jointly(both(600), tmp_path / "shared", lambda n: tmp_path / n, iterations=800, width=24)
    for name, places in (("coarse", [POINTER]), ("fine", [POINTER, *FINE])):
        learned = found[name]
        grid = learned.geometry.grid().locations
        numbers = [int((learned.places == grid[place]).all(1).nonzero()) for place in places]
        bank = learned.embedded()
        totals = bank.statistics(torch.arange(len(bank)), torch.tensor(numbers)).sum(1)
        told = learned.q.logits(totals, len(places)).argmax(1)
        assert (told == bank.labels).float().mean() > 0.9, name


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("completion", ["retrieval", "gaussian"])
def test_a_fit_that_was_stopped_between_q_and_the_levels_leaves_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completion: str
) -> None:
    """Where maps are dear fewer images set the level; only an attribute with its parts knows that."""
    monkeypatch.setattr("boed.search.adaptivity.FEW_IMAGES", 15)
    monkeypatch.setattr("boed.search.levels.FEWEST", 5)
    combination = Combination.of(completion=completion)
    jointly(tmp_path / "at once", combination)
    asked = list[int]()

    def stopped(learned: Approximations, unseen: Bank, split: str) -> None:
        asked.append(len(unseen))
        if len(asked) in (1, 3):  # of the first attribute, and of the second
            raise KeyboardInterrupt
        set_levels(learned, unseen, split)

    monkeypatch.setattr("boed.fitting.parts.set_levels", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            jointly(tmp_path / "in three", combination)
    jointly(tmp_path / "in three", combination)
    assert asked == [20 if completion == "retrieval" else 15] * 4
    assert bytes_of(tmp_path / "in three") == bytes_of(tmp_path / "at once")


@torch.no_grad()
def test_the_loss_of_a_joint_posterior_is_the_mean_over_its_attributes(root: Path) -> None:
    q = Approximations.load(root / "shared", both()).q
    glimpses, centres = torch.rand(7, 3, *both().geometry.glimpse_shape()), torch.zeros(7, 3, 2)
    labels = torch.randint(2, (7, 2), generator=torch.Generator().manual_seed(0))
    each = [negative_log_posterior(q.attribute(n), glimpses, centres, labels[:, n]) for n in (0, 1)]
    found = negative_log_posterior(q, glimpses, centres, labels)
    assert float(found) == pytest.approx(float(sum(each)) / 2, abs=1e-5)
    assert q.logits(q.embed(glimpses, centres).sum(1), 3).shape == (7, 2, 2)


def test_what_is_there_is_not_learned_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: learned.digest() for name, learned in jointly(root).items()}
    monkeypatch.setattr(boed.fitting.joint_fit, "learn", None)
    (root / "fine" / FILE).unlink()
    assert {name: learned.digest() for name, learned in jointly(root).items()} == before


def test_an_interrupted_joint_fit_ends_with_the_same_approximations(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, calls = ForwardKL.differentiable_loss, list[int]()

    def counted(*args: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 14:
            raise KeyboardInterrupt
        return loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ForwardKL, "differentiable_loss", counted)
        with pytest.raises(KeyboardInterrupt):
            jointly(tmp_path)
    assert not (tmp_path / "shared" / FILE).exists()
    found, expected = jointly(tmp_path), jointly(root)
    assert {n: one.digest() for n, one in found.items()} == {n: one.digest() for n, one in expected.items()}


def test_a_completion_is_learned_once_for_all_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, kind = list[str](), COMPLETIONS["gaussian"]

    def counted(*args: Any) -> Any:
        calls.append("learned")
        assert kind.fit is not None
        return kind.fit(*args)

    monkeypatch.setitem(COMPLETIONS._known, "gaussian", replace(kind, fit=counted))
    jointly(tmp_path, Combination.of(completion="gaussian"))
    assert len(calls) == 1
    name = "completion-gaussian.safetensors"
    assert (tmp_path / "coarse" / name).read_bytes() == (tmp_path / "fine" / name).read_bytes()


def test_other_settings_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="width = 9, found 8"):
        jointly(root, width=9)
    fit(both().only("fine"), tmp_path / "fine", **TINY)
    with pytest.raises(CheckpointError, match='together = "coarse,fine", found null'):
        jointly(tmp_path)
    assert not (tmp_path / "shared").exists()


def test_one_attribute_and_exact_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least two attributes, found fine"):
        fit_jointly(both().only("fine"), tmp_path, lambda name: tmp_path / name)
    with pytest.raises(SettingsError, match="parts that are learned"):
        jointly(tmp_path, Combination(posterior="exact", completion="exact"))


@pytest.fixture
def faces(tmp_path: Path, write_photo: Callable[..., None]) -> Path:
    ids = [*range(3), *range(2000, 2030), 27000, 27500]
    lines = [f"{i}.jpg {1 - 2 * (i % 2)} {1 - 2 * (i // 2 % 2)} -1" for i in ids]
    for i in ids:
        write_photo(tmp_path / IMAGES / f"{i}.jpg", i, (32, 32))
    (tmp_path / ANNOTATIONS).write_text("\n".join([str(len(ids)), "Young Male Bald", *lines]) + "\n")
    return tmp_path


def test_the_command_line_fits_attributes_together(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = ["--dataset", "celebahq", "--data-root", str(faces), "--device", "cpu"]
    sizes = ["--iterations", "8", "--places", "6", "--width", "8", "--glimpses", "2"]
    made = CliRunner().invoke(main, ["fit", *task, "--attribute", "Young,Male", *sizes])
    assert made.exit_code == 0, made.output
    for name in ("Young", "Male"):
        assert f"runs/celebahq-{name}/approximations; weight" in made.output
        (line,) = [line for line in made.output.splitlines() if line.startswith(f"{name} ")]
        assert line.count(" / ") == 2 and line.endswith(" of 2")
        generate = ["generate", *task, "--attribute", name, "--images", "2"]
        found = CliRunner().invoke(main, generate)
        assert found.exit_code == 0, found.output
    assert load_tensors(Path("runs") / "celebahq-2-attributes" / "approximations" / FILE, "")[0]
    together = CliRunner().invoke(main, ["calibration", "runs/celebahq-2-attributes"])
    assert_refused(together, "expected the fit of one attribute", "found that of 2 together")
    own = CliRunner().invoke(main, ["fit", *task, "--attribute", "all", *sizes, "--run", "own"])
    assert own.exit_code == 0, own.output
    for name in ("Young", "Male", "Bald"):
        assert load_tensors(Path("own") / name / "approximations" / FILE, "")[1]["settings"]["target"] == name


@pytest.mark.parametrize(
    "command",
    [[main, "generate"], [hardattn.cli.main.main, "train", "--method", "random"]],
    ids=["boed", "hardattn"],
)
def test_other_commands_take_one_attribute(faces: Path, command: list[Any]) -> None:
    options = ["--dataset", "celebahq", "--data-root", str(faces), "--attribute", "Young,Male"]
    result = CliRunner().invoke(command[0], [*command[1:], *options])
    assert_refused(result, "expected one attribute, found Young,Male", "`boed fit` takes several")
