"""The sensor on the command line, which designing and training share."""

from dataclasses import replace
from pathlib import Path

import pytest
from cli_tiny import assert_refused
from click.testing import CliRunner, Result

import boed.cli.main
import hardattn.cli.main
from data.cli.options import LOADED_WITH, Sides, data_options, scales_of, sensor_of
from data.errors import SettingsError
from data.registry import DATASETS, load
from hardattn.loading import open_trained
from hardattn.training import checkpoint
from supervision.store import SequenceStore

GROUPS = {"boed": boed.cli.main.main, "hardattn": hardattn.cli.main.main}


def call(program: str, *arguments: object) -> Result:
    return CliRunner().invoke(GROUPS[program], [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("words", "scales"),
    [
        ([], 1),  # the data set's
        (["--sensor", "patch"], 1),
        (["--sensor", "patch", "--scales", 1], 1),
        (["--sensor", "retina"], 3),
        (["--scales", 2, "--sensor", "retina"], 2),
        (["--scales", 2], 2),
    ],
)
def test_training_looks_through_the_sensor(words: list[object], scales: int, tmp_path: Path) -> None:
    short = ["--hidden", 8, "--glimpses", 1, "--epochs", 0.01, "--name", "a"]
    result = call("hardattn", "train", "--run", tmp_path, *short, *words)
    assert result.exit_code == 0, result.output
    settings = checkpoint.read_json(tmp_path / "hardattn-a-0" / checkpoint.RUN)["settings"]
    assert settings["geometry"]["scales"] == scales


def test_sequences_are_those_of_the_sensor(tmp_path: Path) -> None:
    """Of parts, and for the training that imitates them."""
    made = call("hardattn", "parts", "--run", tmp_path, "--images", 4, "--sensor", "retina")
    assert made.exit_code == 0, made.output
    assert SequenceStore.read(tmp_path / "sequences-parts.h5").settings["geometry"]["scales"] == 3
    imitate = ["--method", "ps-parts", "--supervise", "--epochs", 0.01]
    refused = call("hardattn", "train", "--run", tmp_path, *imitate, "--sensor", "patch")
    assert_refused(refused, "geometry", '"scales": 1', '"scales": 3')


@pytest.mark.parametrize(
    ("given", "sides"), [("8,14,28", (8, 14, 28)), ("8, 40", (8, 40)), ("all", (8, 16, 32, 40)), ("8", ())]
)
def test_sides_make_the_geometry(given: str, sides: tuple[int, ...]) -> None:
    asked = Sides().convert(given, None, None)
    assert replace(load("digits").geometry, **sensor_of({"sides": asked})).sides == sides


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ("8,wide", "sides in pixels, as 16,32,64, or all"),
        ("8,99", "up to 40, found [8, 99]"),
        ("16,32", "from the glimpse's 8"),
        ("8,,16", "sides in pixels"),
        ("8,-16", "sides in pixels"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "generate"])
def test_impossible_sides_are_refused_in_one_line(
    command: str, sides: str, message: str, tmp_path: Path
) -> None:
    result = call("boed", command, "--run", tmp_path / "run", "--sides", sides)
    assert_refused(result, message)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [("boed", "fit"), ("boed", "generate"), ("hardattn", "train"), ("hardattn", "parts")],
    ids=" ".join,
)
def test_a_patch_of_several_scales_is_refused_in_one_line(command: tuple[str, str], tmp_path: Path) -> None:
    result = call(*command, "--run", tmp_path / "run", "--sensor", "patch", "--scales", 3)
    assert_refused(result, "expected 1 scale with --sensor patch, found 3; take retina")
    assert list(tmp_path.iterdir()) == []


def test_a_retina_of_one_scale_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 2 scales with --sensor retina, found 1; take patch"):
        scales_of("retina", 1)


def test_designs_are_made_for_the_sensor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`boed fit` and `boed generate` hand on the geometry, whatever they then do."""
    asked = list[int]()

    def noted(dataset: object, folder: Path, **arguments: object) -> None:
        asked.append(arguments["geometry"].scales)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr("boed.fitting.fit.fit", noted)
    for name, scales in (
        ("fit", ["--sensor", "retina"]),
        ("generate", ["--sensor", "retina", "--scales", 2]),
    ):
        assert call("boed", name, "--run", tmp_path, *scales).exit_code == 130
    assert asked == [3, 2]


def test_a_baseline_has_no_sensor(tmp_path: Path) -> None:
    result = call("hardattn", "train", "--run", tmp_path / "run", "--baseline", "fc", "--sensor", "retina")
    assert_refused(result, "expected no --sensor with --baseline")


def test_a_run_is_evaluated_on_the_data_that_it_was_trained_on(tmp_path: Path) -> None:
    """Of another seed: the options of the data reach what opens it again."""
    short = ["--hidden", 8, "--glimpses", 1, "--epochs", 0.01, "--device", "cpu", "--data-seed", 3]
    for kind in (["--name", "glimpses"], ["--baseline", "fc", "--name", "whole"]):
        words = short if "--baseline" not in kind else [*short[:2], *short[4:]]
        result = call("hardattn", "train", "--run", tmp_path, *words, *kind)
        assert result.exit_code == 0, result.output
        folder = tmp_path / f"hardattn-{kind[-1]}-0"
        noted = checkpoint.read_json(folder / checkpoint.RUN)
        assert noted["opened_with"]["seed"] == 3
        assert noted["settings"]["fingerprint"] == load("digits", seed=3).fingerprint("train", "valid")
        again = open_trained(folder, device="cpu").dataset
        assert again["test"].fingerprint == load("digits", seed=3)["test"].fingerprint


def test_sequences_are_shown_on_the_data_that_they_were_made_for(tmp_path: Path) -> None:
    made = call("hardattn", "parts", "--run", tmp_path, "--images", 4, "--data-seed", 3)
    assert made.exit_code == 0, made.output
    store = tmp_path / "sequences-parts.h5"
    assert SequenceStore.read(store).origin["seed"] == 3
    shown = call("boed", "show", store, "--out", tmp_path / "a.png")
    assert shown.exit_code == 0 and (tmp_path / "a.png").is_file(), shown.output


@pytest.mark.parametrize(
    ("option", "value"), [("--region", "inner"), ("--placements", 2), ("--image-size", 64)]
)
def test_options_that_the_data_set_does_not_take_are_refused(option: str, value: object) -> None:
    name = {"--image-size": "size"}.get(option, option.strip("-"))
    result = call("hardattn", "train", option, value)
    assert result.exit_code == 2, result.output
    assert f"expected no {name} for digits, found {value!r}" in result.stderr


def test_every_option_of_a_data_set_is_one_of_the_command_line() -> None:
    """Of those that come with this project."""
    known = {option for entry in DATASETS.values() for option in entry.options}
    assert known == set(LOADED_WITH)
    parameters = {parameter.name for parameter in data_options()}
    assert parameters >= set(LOADED_WITH.values())
