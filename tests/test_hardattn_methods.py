"""How an objective changes while it is minimised: annealed imitation, and REINFORCE after imitation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset, tiny_store
from torch import Tensor

from data.errors import SettingsError
from hardattn import checkpoint, learner, methods
from hardattn.budget import Budget
from hardattn.cli import main
from hardattn.frontier.grid import grids, read_grid
from hardattn.methods import METHODS, Method, Objective
from hardattn.recipe import Recipe, require_used
from hardattn.reproduce.settings import read_table, table_names
from hardattn.rollout import Rollout
from hardattn.run_folder import read_log
from hardattn.train import train
from supervision.store import Sequences, SequenceStore

DATASET = tiny_dataset()
SHORT: dict[str, Any] = {
    "recipe": Recipe(batch_size=16, hidden=16),
    "budget": Budget(epochs=4),  # 12 iterations
    "device": "cpu",
}


@pytest.fixture
def everyone(tmp_path: Path) -> SequenceStore:
    """Sequences of all training images."""
    split, grid = DATASET["train"], DATASET.geometry.grid()
    settings = {"dataset": "tiny", "target": "label", "fingerprint": split.fingerprint}
    store = SequenceStore.write_to(tmp_path / "s.h5", settings, split.ids, 3, torch.zeros(0, 2).long())
    places, nothing = grid.locations[torch.tensor([4, 6, 9])], torch.zeros(len(split), 4)
    told = Sequences(
        places.expand(len(split), -1, -1), nothing[:, 1:], nothing, nothing[:, 1:, None][..., :0]
    )
    store.write(torch.arange(len(split)), told)
    return store


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Method, Objective, int]]:
    """Method, objective and number of supervised images of every iteration that follows."""
    found = list[tuple[Method, Objective, int]]()
    terms = methods.terms

    def noted(
        method: Method, rollout: Rollout, labels: Tensor, supervised: Tensor, *rest: Any, **more: Any
    ) -> Mapping[str, Tensor]:
        found.append((method, rest[0], int(supervised.sum())))
        return terms(method, rollout, labels, supervised, *rest, **more)

    monkeypatch.setattr(learner, "terms", noted)
    return found


@pytest.mark.parametrize(("fraction", "weight"), [(0.0, 3.0), (0.5, 1.5), (1.0, 0.0)])
def test_annealed_weight(fraction: float, weight: float) -> None:
    annealed = Objective(supervision_weight=3.0, anneal_supervision=True)
    assert annealed.at(fraction).supervision_weight == weight
    assert Objective(supervision_weight=3.0).at(fraction).supervision_weight == 3.0


def test_imitation_is_annealed_over_the_budget(
    tmp_path: Path, seen: list[tuple[Method, Objective, int]]
) -> None:
    store = tiny_store(tmp_path / "s.h5", DATASET)
    train(DATASET, tmp_path / "run", store=store, anneal_supervision=True, **SHORT)
    weights = [objective.supervision_weight for _, objective, _ in seen]
    assert weights == pytest.approx([1 - n / 12 for n in range(12)])


@pytest.mark.parametrize(("share", "first"), [(None, 9), (0.5, 6), (0.0, 0), (1.0, 12)])
def test_reinforce_follows_imitation(
    tmp_path: Path,
    everyone: SequenceStore,
    seen: list[tuple[Method, Objective, int]],
    share: float | None,
    first: int,
) -> None:
    """9 of 12 iterations are the first to reach 0.7 of the budget."""
    chosen = {} if share is None else {"imitate_for": share}
    train(DATASET, tmp_path / "run", store=everyone, method="nogs-finetuned", **SHORT, **chosen)
    before, after = seen[:first], seen[first:]
    assert len(seen) == 12 and all(count == 16 and "imitation" in m.weights for m, _, count in before)
    assert all(count == 0 and m is METHODS["ram"] for m, _, count in after)


def test_until_then_it_is_nogs_all(
    tmp_path: Path, everyone: SequenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardattn.budget.CHECK_EVERY", 4)
    runs = {name: train(DATASET, tmp_path / name, store=everyone, method=name, **SHORT)
            for name in ("nogs-all", "nogs-finetuned")}  # fmt: skip
    one, two = (list(read_log(folder / checkpoint.LOG)) for folder in runs.values())
    assert [line["nll"] for line in one[:3]] == [line["nll"] for line in two[:3]]
    assert one[3]["nll"] != two[3]["nll"]
    assert "loss_reinforce" in two[3] and "loss_reinforce" not in two[2]


def test_some_of_the_images_are_too_few(tmp_path: Path, everyone: SequenceStore) -> None:
    with pytest.raises(SettingsError, match="all 48 training images, found 5"):
        train(
            DATASET, tmp_path / "run", store=everyone, method="nogs-finetuned", supervised_images=5, **SHORT
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--reinforce-loss", "distance"],
        ["--reinforce-loss", "distance", "--policy", "mixture"],
        ["--reinforce-loss", "length", "--policy", "gaussian"],
        ["--anneal-supervision"],
        ["--anneal-supervision", "--method", "random"],
        ["--imitate-for", "0.5"],
        ["--imitate-for", "1.5"],
        ["--imitate-for", "nan"],
        ["--method", "nogs-finetuned"],
        ["--loss-at", "first"],
        ["--loss-at", "1,2"],
        ["--loss-at", "1,1,1,1,-1"],
        ["--loss-at", "0,0,0,0,0"],
        ["--loss-at", "1,1,1,1,nan"],
        ["--supervision-weight", "2"],
        ["--supervision-weight", "-1"],
        ["--reward", "box", "--method", "random"],
        ["--reward", "final=nan"],
        ["--reward", "information", "--method", "wsram"],
        ["--deviation", "0.3"],
        ["--deviation", "learned", "--policy", "product"],
        ["--gain-target", "entropy", "--method", "epe-head"],
        ["--policy", "gaussian", "--method", "random"],
        ["--policy", "product", "--method", "centre"],
        ["--distil-share", "0.5"],
        ["--distil", "nowhere"],
    ],
)
def test_what_does_not_go_together_gets_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", *words])
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    assert "expected" in result.stderr and "found" in result.stderr
    assert list(tmp_path.iterdir()) == []


EVERY: dict[str, Any] = {
    "supervision_weight": 2.0,
    "rewards": {"final": 1.0, "information": 0.5},
    "deviation": 0.3,
    "gain_target": "design",
}
POINTLESS = {
    "ram": {"supervision_weight", "deviation"},
    "wsram": {"supervision_weight", "rewards", "deviation"},
    "nogs-all": {"rewards", "deviation"},
    "nogs-finetuned": {"deviation"},
    "saliency": {"deviation"},
    "epe-head": {"supervision_weight", "rewards", "deviation", "gain_target"},
    "random": {"supervision_weight", "rewards", "deviation"},
    "centre": {"supervision_weight", "rewards", "deviation"},
}


@pytest.mark.parametrize("name", METHODS)
def test_what_would_change_nothing_is_refused(name: str) -> None:
    """One field at a time: those of the methods that have no term for them, and no others."""
    refused = set()
    for part, value in EVERY.items():
        try:
            require_used(name, Recipe(**{part: value}))
        except SettingsError as error:
            assert f"found {name};" in str(error) or part == "deviation"
            refused.add(part)
    assert refused == POINTLESS.get(name, {"deviation"})  # others imitate beside REINFORCE, on a grid


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("random", Recipe(policy="gaussian")),
        ("centre", Recipe(policy="product")),
        ("nogs-all", Recipe(policy="gaussian", reinforce_loss="distance")),
        ("wsram", Recipe(policy="gaussian", reinforce_loss="distance")),
    ],
)
def test_policies_and_reinforce_that_nobody_asks_are_refused(name: str, recipe: Recipe) -> None:
    with pytest.raises(SettingsError, match=f"found {name}; take one or leave the option out"):
        require_used(name, recipe)


def test_what_is_used_is_not_refused() -> None:
    require_used("wsram", Recipe(policy="mixture", deviation=None))
    require_used("nogs-finetuned", Recipe(policy="gaussian", reinforce_loss="distance"))


def test_python_refuses_as_the_command_line_does(tmp_path: Path) -> None:
    refused: list[dict[str, Any]] = [
        {"supervision_weight": 2.0},
        {"rewards": {}},
        {"rewards": {"glory": 1.0}},
    ]
    for chosen in refused:
        with pytest.raises(SettingsError, match=r"expected .* found"):
            train(DATASET, tmp_path / "run", **SHORT, **chosen)
    assert not (tmp_path / "run").exists()


def test_every_network_of_the_tables_and_grids_has_a_use_for_its_recipe() -> None:
    rows = [row for name in table_names() for row in read_table(name)["rows"] if "method" in row]
    recipes = [(row["method"], row.get("recipe", {})) for row in rows]
    recipes += [(one.method, one.recipe) for name in grids() for one in read_grid(name) if one.method]
    assert len(recipes) > 30
    for method, recipe in recipes:
        require_used(method, Recipe(**recipe))


def test_all_forms_by_the_command_line(tmp_path: Path) -> None:
    words = ["train", "--run", str(tmp_path), "--glimpses", "2", "--epochs", "0.02", "--loss-at", "both"]
    forms = ["--policy", "gaussian", "--deviation", "learned", "--reinforce-loss", "distance"]
    result = CliRunner().invoke(main, words + forms)
    assert result.exit_code == 0, result.output
    recipe = checkpoint.read_json(tmp_path / "hardattn-ram-0" / checkpoint.RUN)["settings"]["recipe"]
    assert recipe["reinforce_loss"] == "distance" and recipe["loss_at"] == "both"
