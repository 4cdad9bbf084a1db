"""Accuracy against compute of a grid: end to end, taken up again, and what is refused."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from hardattn_tiny import tiny_dataset, tiny_store

import hardattn.baselines.training
import hardattn.experiments.frontier.work
import hardattn.runs
import hardattn.training.learner
from data.dataset import DataSet
from data.errors import CheckpointError, SettingsError, StoreError
from data.geometry import Geometry
from data.tensors import load_tensors
from hardattn.baselines.training import train_baseline
from hardattn.cli.main import main
from hardattn.experiments.frontier.drawing import draw
from hardattn.experiments.frontier.grid import read_grid
from hardattn.experiments.frontier.measuring import right_of
from hardattn.experiments.frontier.pareto import frontiers
from hardattn.experiments.frontier.result import Frontier
from hardattn.experiments.frontier.summary import as_text
from hardattn.experiments.frontier.sweep import frontier
from hardattn.experiments.frontier.terms import Terms
from hardattn.loading import open_trained
from supervision.store import SequenceStore

GRID = """
[[families]]
name = "attention"
method = "nogs-all"
sequences = "fixed-order"
recipe = { encoder = "patches", policy = "product" }
sizes = [{ hidden = 8 }, { hidden = 8, glimpses = 9 }]

[[families]]
name = "glance"
baseline = "cnn"
sizes = [{ resolution = 8, width = 0.5 }]

[[families]]
name = "early exit"
baseline = "early-exit"
sizes = [{ width = 0.25 }]
"""
MINUTES = 0.02


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 3)
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def found_in(folder: Path, grid: Path, **changed: Any) -> tuple[Frontier, list[str]]:
    """The frontier of the made-up task, imitating sequences of three glimpses, and what was said."""
    dataset, said = tiny_dataset(), list[str]()
    path = folder / "given.h5"
    path.unlink(missing_ok=True)
    options = {"minutes": MINUTES, "device": "cpu", "say": said.append} | changed
    store = tiny_store(path, dataset)
    return frontier(dataset, read_grid("tiny", grid), folder / "run", sequences=store, **options), said


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["frontier", *map(str, arguments)])


def test_every_network_is_trained_measured_and_drawn(tmp_path: Path, grid: Path) -> None:
    found, said = found_in(tmp_path, grid)
    folder = tmp_path / "run" / "frontier"
    assert {point.family for point in found.points} == {"attention", "glance", "early exit"}
    assert [word for word in said if "left out" in word] == [
        "attention hidden 8 glimpses 9: left out, the sequences are of other glimpses, or of fewer"
    ]
    fixed = [p for p in found.points if (p.family, p.rule) == ("attention", "fixed")]
    assert [p.threshold for p in fixed] == [1, 2, 3]  # every t
    assert fixed[0].pixels == 4 * 4 and fixed[0].pixels < fixed[2].pixels <= 3 * 4 * 4
    assert {p.pixels for p in found.points if p.family == "glance"} == {64}
    assert {(p.values_read, p.pixels_read) for p in found.points if p.family == "glance"} == {(64, 256)}
    assert [p.values_read for p in fixed] == [p.pixels_read for p in fixed] == [16, 32, 48]
    assert {p.rule for p in found.points if p.family == "early exit"} == {"fixed", "exit", "confidence"}
    test = tiny_dataset()["test"]
    for point in found.points:
        assert point.test_low <= point.test_accuracy <= point.test_high and point.mflops > 0
        assert right_of(folder, point, len(test)).mean() == pytest.approx(point.test_accuracy)
        added = 256 / 1e6 if point.family == "glance" else 0.0  # of 16 x 16 grey pixels
        assert point.software_mflops == pytest.approx(point.mflops + added) and point.capped is None
        assert load_tensors(folder / point.run / "model.safetensors", "")[0] and point.seconds > 0
    assert Frontier.read(folder / "frontier.json") == found
    with (folder / "frontier.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [float(row["test_accuracy"]) for row in rows] == [p.test_accuracy for p in found.points]
    draw(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[1:4] == b"PNG"


def test_validation_chooses_and_test_images_do_not(tmp_path: Path, grid: Path) -> None:
    """The validation figures are those of the log, where the weights were chosen."""
    found, _ = found_in(tmp_path, grid)
    [glance] = [point for point in found.points if point.family == "glance"]
    run = open_trained(tmp_path / "run" / "frontier" / glance.run, dataset=tiny_dataset())
    assert glance.valid_accuracy == pytest.approx(run.about["accuracy"])
    for chosen in frontiers(found.points).values():
        values = [point.valid_accuracy for point in chosen]
        assert values == sorted(set(values))
    assert json.loads(json.dumps(found.to_json()))["frontiers"].keys() == frontiers(found.points).keys()
    assert "hard attention up to 3 MFLOPs" in as_text(found)


def test_what_is_done_is_not_done_again(tmp_path: Path, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = list[str]()

    def interrupted(dataset: DataSet, run: Path, name: str, **options: Any) -> Path:
        trained.append(name)
        if trained == ["cnn", "early-exit"]:
            raise KeyboardInterrupt
        return train_baseline(dataset, run, name, **options)

    def never(*_arguments: Any, **_options: Any) -> Path:
        raise AssertionError("trained again")

    monkeypatch.setattr(hardattn.experiments.frontier.work, "train_baseline", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found_in(tmp_path, grid)
    assert not (tmp_path / "run" / "frontier" / "frontier.json").exists()
    monkeypatch.setattr(hardattn.experiments.frontier.work, "train", never)
    first, said = found_in(tmp_path, grid)
    assert trained == ["cnn", "early-exit", "early-exit"]
    assert said[-1].startswith("early exit width 0.25, seed 0: ")
    monkeypatch.setattr(hardattn.experiments.frontier.work, "train_baseline", never)
    again, said = found_in(tmp_path, grid)
    assert again == first and len(said) == 1  # one network is left out


def test_another_time_is_refused(tmp_path: Path, grid: Path) -> None:
    found_in(tmp_path, grid)
    with pytest.raises(CheckpointError, match="found .*; use the same --minutes, or another --run folder"):
        found_in(tmp_path, grid, minutes=2 * MINUTES)


def test_sequences_that_are_missing_are_asked_of_boed(
    tmp_path: Path, grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's own where they are, of other lengths those of a folder of the frontier."""
    asked = list[tuple[Path, str, Path, int]]()

    def designed(
        path: Path, source: str, run: Path, _geometry: Geometry, steps: int, *_: Any, **__: Any
    ) -> SequenceStore:
        asked.append((path, source, run, steps))
        path.parent.mkdir(parents=True, exist_ok=True)
        return tiny_store(path, tiny_dataset(), steps=steps)

    monkeypatch.setattr(hardattn.experiments.frontier.work, "designed", designed)
    grid.write_text(GRID.replace("glimpses = 9", "glimpses = 2"))
    run = tmp_path / "run"
    networks = [member for member in read_grid("tiny", grid) if member.method]
    found = frontier(tiny_dataset(), networks, run, minutes=MINUTES, device="cpu", say=lambda _: None)
    other = run / "frontier" / "design-4-2"
    assert asked == [
        (run / "sequences-fixed-order.h5", "fixed-order", run, 3),
        (other / "sequences-fixed-order.h5", "fixed-order", other, 2),
    ]
    assert {p.threshold for p in found.points if p.rule == "fixed"} == {1, 2, 3}


def test_a_first_glance_is_asked_of_boed(tmp_path: Path, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[tuple[Path, Geometry]]()

    def designed(_: Path, __: str, run: Path, geometry: Geometry, *___: Any, **____: Any) -> SequenceStore:
        calls.append((run, geometry))
        raise StoreError("expected designs, found none")

    monkeypatch.setattr(hardattn.experiments.frontier.work, "designed", designed)
    grid.write_text(GRID.replace("glimpses = 9", "first_glance = true"))
    networks = [member for member in read_grid("tiny", grid) if member.method]
    for network in networks:
        with pytest.raises(StoreError, match="expected designs, found none"):
            frontier(tiny_dataset(), [network], tmp_path, minutes=MINUTES, device="cpu", say=lambda _: None)
    assert [geometry.first_glance for _, geometry in calls] == [False, True]
    assert calls[1][0] == tmp_path / "frontier" / "design-4-3-glance"


def test_sides_are_asked_of_boed(tmp_path: Path, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[tuple[Path, Geometry]]()

    def designed(_: Path, __: str, run: Path, geometry: Geometry, *___: Any, **____: Any) -> SequenceStore:
        calls.append((run, geometry))
        raise StoreError("expected designs, found none")

    monkeypatch.setattr(hardattn.experiments.frontier.work, "designed", designed)
    grid.write_text(GRID.replace("glimpses = 9", "sides = [4, 8, 16]"))
    wide = next(member for member in read_grid("tiny", grid) if "sides" in member.sensor)
    assert wide.name == "attention hidden 8 sides 4,8,16" and wide.folder == "attention-hidden-8-sides-4-8-16"
    with pytest.raises(StoreError, match="expected designs, found none"):
        frontier(tiny_dataset(), [wide], tmp_path, minutes=MINUTES, device="cpu", say=lambda _: None)
    assert calls[0][1].sides == (4, 8, 16)
    assert calls[0][0] == tmp_path / "frontier" / "design-4-8-16-3"


def glance_nll(folder: Path, ending: str) -> float:
    """On the validation images, of the weights that a run keeps."""
    run = folder / "run" / "frontier" / f"glance-resolution-8-width-0.5-{ending}"
    return float(load_tensors(run / "model.safetensors", "")[1]["nll"])


def test_the_first_seed_chooses_the_learning_rate_of_the_others(tmp_path: Path, grid: Path) -> None:
    """Of two, by the validation NLL of the weights that are kept."""
    grid.write_text(GRID[GRID.index('[[families]]\nname = "glance"') :])
    terms = Terms(iterations=7, patience=2, learning_rates=(1e-3, 0.03))
    found, said = found_in(tmp_path, grid, terms=terms, seeds=2, seed=3)
    assert list(found.seeds) == [3, 4] and len(said) == 2 * 2 + 2
    nll = {rate: glance_nll(tmp_path, f"at-{rate:g}-3") for rate in terms.learning_rates}
    rates = {(p.seed, p.learning_rate) for p in found.points if p.family == "glance"}
    assert rates == {(seed, min(nll, key=lambda rate: nll[rate])) for seed in (3, 4)}
    assert {(p.iterations, p.capped) for p in found.points} <= {(7, True), (6, False)}
    assert Frontier.read(tmp_path / "run" / "frontier" / "frontier.json") == found
    again, said = found_in(tmp_path, grid, terms=terms, seeds=1, seed=3)
    assert not said and again.points == [p for p in found.points if p.seed == 3]


@pytest.mark.parametrize(
    "words",
    [("--learning-rates", "0.1,0.1"), ("--learning-rates", "a"), ("--iterations", "3", "--minutes", "1")],
)
def test_terms_that_do_not_go_together_are_refused(
    tmp_path: Path, grid: Path, words: tuple[str, ...]
) -> None:
    assert_refused(call("--grid", grid, "--run", tmp_path / "run", *words), "expected")


@pytest.mark.parametrize("changed", [{"minutes": 0.0}, {"minutes": float("nan")}])
def test_no_time_is_refused(tmp_path: Path, grid: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="expected minutes above 0"):
        found_in(tmp_path, grid, **changed)
    assert not (tmp_path / "run").exists()


def test_the_command_line_on_the_digits(tmp_path: Path, grid: Path) -> None:
    grid.write_text(
        '[[families]]\nname = "attention"\nmethod = "random"\nsizes = [{ hidden = 8 }]\n'
        '[[families]]\nname = "separable"\nbaseline = "separable"\n'
        "sizes = [{ resolution = 10, width = 0.25 }]\n"
    )
    options = ("--grid", grid, "--minutes", 0.004, "--run", tmp_path / "run", "--device", "cpu")
    machine = call(*options, "--json")
    assert machine.exit_code == 0, machine.output
    found = json.loads(machine.stdout)
    assert found["dataset"] == "digits" and found["image_pixels"] == 40 * 40
    assert set(found["frontiers"]) == {"attention", "separable"}
    people = call(*options, "--family", "separable", "--family", "attention")
    assert "MFLOPs up to" in people.stdout and str(tmp_path / "run/frontier/frontier.png") in people.stdout
    assert (tmp_path / "run" / "frontier" / "frontier.png").read_bytes()[1:4] == b"PNG"
    assert_refused(call(*options, "--family", "cnn"), "--family of attention; separable", "'cnn'")
    longer = call(*options, "--minutes", 0.008)
    words = ("0.004 minutes", "found 0.002", "use the same --minutes, or another --run folder")
    assert_refused(longer, *words, progress=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("families with a name", "found otherwise ('families')")),
        ("families = 3", ("families with a name", "'int' object")),
        ("= not toml", ("expected TOML", "line 1")),
        ('[[families]]\nname = "x"\nsizes = [{}]', ("baseline or a method for the family x, found none",)),
        (
            '[[families]]\nname = "x"\nbaseline = "mlp"\nsizes = [{}]',
            ("baseline or a method for the family x, found mlp",),
        ),
        (
            '[[families]]\nname = "x"\nmethod = "nogs-all"\nsizes = [{}]',
            ("expected sequences just where", "for nogs-all"),
        ),
        (
            '[[families]]\nname = "x"\nbaseline = "cnn"\nsizes = [{ depth = 3 }]',
            ("families with a name", "'depth'"),
        ),
        ('[[families]]\nname = "x"\nbaseline = "cnn"\nsizes = [{}, {}]', ("different sizes", "['x']")),
    ],
)
def test_a_grid_that_says_nothing_is_refused_in_one_line(
    text: str, words: tuple[str, ...], tmp_path: Path, grid: Path
) -> None:
    grid.write_text(text)
    result = call("--grid", grid, "--run", tmp_path / "run")
    assert_refused(result, *words)
    assert not (tmp_path / "run").exists()


def test_a_data_set_without_a_grid_asks_for_one() -> None:
    with pytest.raises(SettingsError, match="expected --grid FILE for mnist, found none"):
        read_grid("mnist")
