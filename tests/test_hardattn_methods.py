"""How an objective changes while it is minimised: annealed imitation, and REINFORCE after imitation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import tiny_dataset, tiny_store
from torch import Tensor

from data.errors import SettingsError
from data.logs import read_log
from data.sequences import Sequences
from hardattn.cli.main import main
from hardattn.experiments.frontier.grid import grids, read_grid
from hardattn.experiments.reproduce.settings import read_table, table_names
from hardattn.objectives.choices import IMITATE_FOR
from hardattn.objectives.methods import Method, Objective
from hardattn.objectives.registry import METHODS
from hardattn.objectives.terms import LossInputs, terms
from hardattn.runs import train
from hardattn.training import checkpoint, learner
from hardattn.training.budget import Budget
from hardattn.training.recipe import Recipe, require_used
from supervision.store import SequenceStore

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
    store = SequenceStore.write_to(tmp_path / "s.h5", settings, split.ids, 3, torch.zeros(0, 3).long())
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

    def noted(method: Method, inputs: LossInputs) -> Mapping[str, Tensor]:
        found.append((method, inputs.objective, int(inputs.supervised.sum())))
        return terms(method, inputs)

    monkeypatch.setattr(learner, "terms", noted)
    return found


def test_of_nothing_chosen_every_prediction_and_the_last_answer_count() -> None:
    """Imitation at the method's own weight; the reward of Mnih et al. 2014."""
    chosen = Objective("every", 1.0, {"final": 1.0}, anneal_supervision=False, gain_target="realised")
    assert Objective() == chosen and Objective().at(0.5) == chosen


HEADS = {"accuracy-gain", "act", "stochastic"}
OWN = {
    "nogs-all": {"imitation"},
    "nogs-finetuned": {"imitation"},
    "saliency": {"saliency", "reinforce", "baseline"},
    "ram": {"reinforce", "baseline"},
    "act": {"reinforce", "baseline", "ponder"},
    "ps-act": {"imitation", "reinforce", "baseline", "ponder"},
    "wsram": {"wake-sleep", "wake-inference", "sleep-inference"},
    "glimpsenet": {"saliency"},
    "epe-head": {"epe"},
    "multiglimpse": {"auxiliary"},
    "random": set[str](),
    "centre": set[str](),
}


@pytest.mark.parametrize("name", METHODS)
def test_terms_of_a_method(name: str) -> None:
    """Its own beside the classification and the stopping heads, whose gain is the map's of epe-head."""
    own = OWN.get(name, {"imitation", "reinforce", "baseline"})  # the others imitate on some images
    heads = HEADS if name == "epe-head" else HEADS | {"gain"}
    weights = dict(METHODS[name].weights)
    assert set(weights) == {"classification", *own, *heads}
    beside = "reinforce" in weights and METHODS[name].supervised
    assert weights.pop("reinforce", 1.0) == (0.1 if beside else 1.0)
    assert set(weights.values()) == {1.0}


def test_stores_that_are_imitated_by_default() -> None:
    assert {name: method.sequences for name, method in METHODS.items() if method.supervised} == {
        "ps-nogs": "sequences",
        "nogs-all": "sequences-train",
        "nogs-finetuned": "sequences-train",
        "saliency": "sequences",
        "ps-act": "sequences",
        "glimpsenet": "sequences-salient-train",
        "ps-ram": "sequences-recorded",
        "ps-parts": "sequences-parts",
        "ps-fixed": "sequences-fixed-order",
        "ps-heuristic": "sequences-saliency-50",
    }


def test_how_a_method_looks() -> None:
    """It explores in training, not in evaluation; those without a policy do the same in both."""
    looks = {name: (method.training, method.evaluation) for name, method in METHODS.items()}
    blind = {name: (name, name) for name in ("random", "centre")}
    assert looks == dict.fromkeys(METHODS, ("sample", "greedy")) | blind
    assert {name: method.trajectories for name, method in METHODS.items() if method.trajectories > 1} == {
        "wsram": 5
    }
    shares = {name: method.supervised_share for name, method in METHODS.items() if method.supervised_share}
    assert shares == dict.fromkeys(("nogs-all", "nogs-finetuned", "glimpsenet"), 1.0) and IMITATE_FOR == 0.7


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
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 4)
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


IMITATES = "a method that imitates"
WEIGHTS = ("--loss-at", "at least 0")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--reinforce-loss", "distance"],
            ("--policy gaussian with --reinforce-loss distance", "found categorical"),
        ),
        (
            ["--reinforce-loss", "distance", "--policy", "mixture"],
            ("gaussian with --reinforce-loss distance", "found mixture"),
        ),
        (
            ["--reinforce-loss", "length", "--policy", "gaussian"],
            ("--reinforce-loss", "'length'", "likelihood"),
        ),
        (["--anneal-supervision"], ("imitates beside REINFORCE with --anneal-supervision", "found ram")),
        (
            ["--anneal-supervision", "--method", "random"],
            ("REINFORCE with --anneal-supervision", "found random"),
        ),
        (["--imitate-for", "0.5"], ("nogs-finetuned with --imitate-for", "found ram")),
        (["--imitate-for", "1.5"], ("a share in [0, 1] for --imitate-for", "found 1.5")),
        (["--imitate-for", "nan"], ("a share in [0, 1] for --imitate-for", "found nan")),
        (
            ["--method", "nogs-finetuned"],
            ("sequences for method nogs-finetuned", "found none", "--supervise"),
        ),
        (["--loss-at", "first"], ("--loss-at of every, after, last", "'first'")),
        (["--loss-at", "1,2"], ("weights in --loss-at as glimpses, 5", "found 2")),
        (["--loss-at", "1,1,1,1,-1"], (*WEIGHTS, "-1.0]")),
        (["--loss-at", "0,0,0,0,0"], (*WEIGHTS, "[0.0, 0.0, 0.0, 0.0, 0.0]")),
        (["--loss-at", "1,1,1,1,nan"], (*WEIGHTS, "nan]")),
        (["--supervision-weight", "2"], (f"{IMITATES} with --supervision-weight", "found ram")),
        (["--supervision-weight", "-1"], ("a finite --supervision-weight of at least 0", "found -1.0")),
        (["--classification-weight", "-1"], ("a finite --classification-weight of at least 0", "found -1.0")),
        (
            ["--classification-weight", "0", "--loss-at", "last"],
            ("a --classification-weight above 0 with --loss-at", "found 0; leave one"),
        ),
        (["--optimizer", "adam", "--momentum", "0.9"], ("--optimizer sgd with --momentum", "found adam;")),
        (["--clip", "much"], ("a --clip, a number or none", "found 'much'")),
        (["--schedule", "decay=2"], ("--schedule of cosine, none, one-cycle or decay=G", "found 'decay=2'")),
        (["--encoder", "plain", "--batch-norm"], ("with --batch-norm", "found plain, which has no norm")),
        (
            ["--policy", "gaussian-state", "--deviation", "0.3"],
            ("--policy gaussian or mixture with --deviation", "found gaussian-state"),
        ),
        (["--discount", "0"], ("a --discount above 0 and at most 1", "found 0.0; change it")),
        (["--discount", "nan"], ("a --discount above 0 and at most 1", "found nan")),
        (["--trajectories", "3"], ("--trajectories that divides --batch-size 128", "found 3")),
        (
            ["--trajectories", "2", "--accumulate", "2"],
            ("no --trajectories", "found 2; train in one process"),
        ),
        (["--discount", "1.1"], ("a --discount above 0 and at most 1", "found 1.1")),
        (["--reward", "box", "--method", "random"], ("REINFORCE with --reward", "found random")),
        (["--reward", "final=nan"], ("finite weights of rewards", "found nan", "--reward")),
        (["--reward", "information", "--method", "wsram"], ("REINFORCE with --reward", "found wsram")),
        (["--deviation", "0.3"], ("--policy gaussian or mixture with --deviation", "found categorical")),
        (
            ["--deviation", "learned", "--policy", "product"],
            ("gaussian or mixture with --deviation", "found product"),
        ),
        (
            ["--gain-target", "entropy", "--method", "epe-head"],
            ("regresses the gain with --gain-target", "found epe-head"),
        ),
        (
            ["--policy", "gaussian", "--method", "random"],
            ("learns where to look with --policy", "found random"),
        ),
        (
            ["--policy", "product", "--method", "centre"],
            ("learns where to look with --policy", "found centre"),
        ),
        (["--distil-share", "0.5"], ("--distil RUN_DIR with --distil-share", "found none")),
        (["--distil", "nowhere"], ("a training run", "no nowhere/run.json", "hardattn train")),
    ],
)
def test_what_does_not_go_together_gets_one_line(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(CliRunner().invoke(main, ["train", *arguments]), *words)
    assert list(tmp_path.iterdir()) == []


EVERY: dict[str, Any] = {
    "supervision_weight": 2.0,
    "rewards": {"final": 1.0, "information": 0.5},
    "discount": 0.9,
    "trajectories": 4,
    "classification_weight": 0.0,
    "deviation": 0.3,
    "ponder_cost": 0.5,
    "gain_target": "design",
}
BLINDLY = {
    "supervision_weight",
    "rewards",
    "discount",
    "trajectories",
    "classification_weight",
    "deviation",
}
POINTLESS = {
    "ram": {"supervision_weight", "deviation"},
    "act": {"supervision_weight", "deviation"},
    "wsram": {"supervision_weight", "rewards", "discount", "trajectories", "deviation"},
    "nogs-all": {"rewards", "discount", "trajectories", "deviation"},
    "nogs-finetuned": {"trajectories", "deviation"},
    "saliency": {"trajectories", "deviation"},
    "glimpsenet": {"rewards", "discount", "trajectories", "deviation"},
    "epe-head": {"supervision_weight", "rewards", "discount", "trajectories", "deviation", "gain_target"},
    "multiglimpse": {"supervision_weight", "rewards", "discount", "trajectories", "deviation"},
    "random": BLINDLY,
    "centre": BLINDLY,
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
    halting = set() if METHODS[name].halts else {"ponder_cost"}
    assert (
        refused == POINTLESS.get(name, {"trajectories", "deviation"}) | halting
    )  # others imitate beside REINFORCE


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
    refused: list[tuple[dict[str, Any], str]] = [
        ({"supervision_weight": 2.0}, "a method that imitates with --supervision-weight, found ram"),
        ({"method": "random", "policy_shapes_state": True}, "--policy-shapes-state .*, found random"),
        ({"rewards": {}}, "rewards of final, correct, log-likelihood, information, entropy, box; found none"),
        ({"rewards": {"glory": 1.0}}, "rewards of final, .*; found '?glory"),
    ]
    for chosen, words in refused:
        with pytest.raises(SettingsError, match=words):
            train(DATASET, tmp_path / "run", **SHORT | chosen)
    assert not (tmp_path / "run").exists()


def test_every_network_of_the_tables_and_grids_has_a_use_for_its_recipe() -> None:
    rows = [row for name in table_names() for row in read_table(name)["rows"] if "method" in row]
    recipes = [(row["method"], row.get("recipe", {})) for row in rows]
    recipes += [(one.method, one.recipe) for name in grids() for one in read_grid(name) if one.method]
    assert len(recipes) > 30
    for method, recipe in recipes:
        require_used(method, Recipe(**recipe))


def test_the_optimiser_and_the_objective_by_the_command_line(tmp_path: Path) -> None:
    words = ["train", "--run", str(tmp_path), "--epochs", "0.02"]
    minimised = ["--optimizer", "sgd", "--momentum", "0.9", "--clip", "none", "--schedule", "decay=0.9"]
    minimised += ["--select", "accuracy"]
    aims = ["--reward", "correct", "--discount", "0.9", "--classification-weight", "0.5", "--glimpses", "2"]
    aims += ["--reward", "entropy=0.1", "--trajectories", "4"]
    built = ["--encoder", "plain", "--policy", "gaussian-state", "--policy-reads-state"]
    for more in ([*aims, *built], ["--baseline", "fc", "--hidden", "8"]):
        result = CliRunner().invoke(main, [*words, *minimised, *more])
        assert result.exit_code == 0, result.output
    wanted = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "clip": None, "schedule": "decay=0.9"}
    objective = {"rewards": {"correct": 1.0, "entropy": 0.1}, "trajectories": 4}
    objective |= {"discount": 0.9, "classification_weight": 0.5, "policy_shapes_state": False}
    network = {"encoder": "plain", "combine": "plain", "policy": "gaussian-state"}
    for name, own in (("ram", objective | network), ("fc", {})):
        run = checkpoint.read_json(tmp_path / f"hardattn-{name}-0" / checkpoint.RUN)
        recipe, asked = run["settings"]["recipe"], wanted | {"select": "accuracy"} | own
        assert {field: recipe[field] for field in asked} == asked


def test_all_forms_by_the_command_line(tmp_path: Path) -> None:
    words = ["train", "--run", str(tmp_path), "--glimpses", "2", "--epochs", "0.02", "--loss-at", "both"]
    forms = ["--policy", "gaussian", "--deviation", "learned", "--reinforce-loss", "distance"]
    result = CliRunner().invoke(main, words + forms)
    assert result.exit_code == 0, result.output
    recipe = checkpoint.read_json(tmp_path / "hardattn-ram-0" / checkpoint.RUN)["settings"]["recipe"]
    assert recipe["reinforce_loss"] == "distance" and recipe["loss_at"] == "both"
