"""Options in a file say what they say on the command line, and what a call writes is read as the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource
from click.testing import CliRunner, Result

import boed.cli.main
import hardattn.cli.main
from data.cli.commands import command_line
from hardattn.training import checkpoint

GROUPS: dict[str, Any] = {"boed": boed.cli.main.main, "hardattn": hardattn.cli.main.main}
Parameters = dict[str, Any]


def command(words: str) -> click.Command:
    program, name = words.split()
    found: click.Command = GROUPS[program].commands[name]
    return found


def parsed(words: str, *arguments: object) -> Parameters:
    """The parameters that a command gets."""
    own = command(words)
    with own.make_context(words, [str(argument) for argument in arguments]) as context:
        return context.params


def call(words: str, *arguments: object) -> Result:
    program, name = words.split()
    return CliRunner().invoke(GROUPS[program], [name, *map(str, arguments)])


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2 and result.stdout == "", result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: expected ") and all(word in line for word in ("found", *words)), line


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "options.toml"
        path.write_text(text)
        return path

    return written


CALLS: dict[str, list[Any]] = {
    "boed fit": [
        *("--dataset", "cluttered-mnist", "--region", "inner", "--placements", 2, "--first-glance"),
        *("--sides", "16,32", "--face-widths", "60,80", "--scatter"),
    ],
    "boed generate": ["--images", "all", "--no-shrink", "--memory-gb", 0.5, "--bank", "some dir"],
    "boed show": ["a.h5", "--image", 3, "--image", 7],
    "boed finding": ["a.h5", "--part", "mouth", "--json"],
    "boed compare": ["a.h5", "b.h5", "--iterations", 3, "--json"],
    "boed benchmark": ["finite", "--posterior", "exact", "--posterior", "avp-cnn", "--only-default"],
    "boed import": ["a.tar", "--dataset", "birds"],
    "hardattn train": [
        *("--supervise", "--reward", "final", "--reward", "box=0.5", "--loss-at", "3,1", "--no-augment"),
        *("--learning-rate", 1e-05, "--batch-norm", "--name", 'a "b"', "--data-seed", 1, "--seed", 0),
    ],
    "hardattn evaluate": ["runs/a", "--stop", "gain", "--stop", "entropy", "--budget-glimpses", 2],
    "hardattn predict": ["runs/a", "a.png", "--stop", "gain=0.02", "--csv"],
    "hardattn record": ["runs/a", "--split", "train"],
    "hardattn parts": ["--order", "beak,left eye", "--parts", "parts.txt"],
    "hardattn reproduce": ["mnist-28", "--attribute", "Male", "--seeds", 2],
    "hardattn frontier": ["--minutes", 0.25, "--run", "runs/x"],
    "hardattn report": ["runs/a", "--image", 1500, "--format", "png"],
}


ARGUMENTS = {"a.h5", "b.h5", "finite", "a.tar", "runs/a", "a.png", "mnist-28"}


@pytest.mark.parametrize("words", CALLS)
def test_what_is_saved_is_read_as_the_same_options(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself is left out; its arguments are given again."""
    path, seen = tmp_path / "saved.toml", list[Parameters]()
    monkeypatch.setattr(command(words), "callback", lambda **options: seen.append(options))
    first = call(words, *CALLS[words], "--save-config", path)
    arguments = [word for word in CALLS[words] if word in ARGUMENTS]
    second = call(words, *arguments, "--config", path)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert seen[0] == seen[1]
    assert seen[0] != parsed(words, *arguments)


@pytest.mark.parametrize("words", CALLS)
@pytest.mark.parametrize("joined", [False, True])
def test_the_words_that_are_noted_ask_for_the_same_without_the_file(
    words: str, joined: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "saved.toml", list[tuple[Parameters, list[str]]]()

    def note(**options: object) -> None:
        seen.append((options, command_line() or []))

    monkeypatch.setattr(command(words), "callback", note)
    call(words, *CALLS[words], "--save-config", path)
    config = [f"--config={path}"] if joined else ["--config", path]
    call(words, *config, *[word for word in CALLS[words] if word in ARGUMENTS])
    path.unlink()
    noted = seen[1][1]
    assert noted[:2] == words.split() and not any("config" in word for word in noted)
    call(words, *noted[2:])
    assert seen[0][0] == seen[1][0] == seen[2][0] and seen[2][1] == noted


def test_noted_words_have_what_the_command_line_says_instead_of_the_file(
    write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, noted = write('supervise = true\nreward = ["final", "box"]\ncore = "rnn"\nname = "-x"'), list[str]()
    monkeypatch.setattr(command("hardattn train"), "callback", lambda **_: noted.extend(command_line() or []))
    call("hardattn train", "--reward", "box=2", "--config", path, "--seed", 3)
    own = ["--core", "rnn", "--name=-x"]
    assert noted == ["hardattn", "train", "--reward", "box=2", *own, "--seed", "3", "--supervise"]


def test_only_what_was_said_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "saved.toml"
    monkeypatch.setattr(command("boed fit"), "callback", lambda **_: None)
    assert call("boed fit", "--width", 8, "--pretrained", "--save-config", path).exit_code == 0
    assert sorted(path.read_text().splitlines()) == ["pretrained = true", "width = 8"]


def test_nothing_is_saved_where_an_option_is_refused(tmp_path: Path) -> None:
    refused(call("boed fit", "--width", "wide", "--save-config", tmp_path / "a.toml"), "'wide'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["glimpse-size", "glimpse_size"])
def test_names_may_have_hyphens_or_underscores(name: str, write: Callable[[str], Path]) -> None:
    assert parsed("hardattn train", "--config", write(f"{name} = 12"))["glimpse_size"] == 12


def test_the_command_line_beats_the_file_and_the_file_the_default(write: Callable[[str], Path]) -> None:
    path = write('core = "rnn"\nhidden = 16\naugment = true\nreward = ["final", "box=0.5"]')
    found = parsed("hardattn train", "--hidden", 32, "--no-augment", "--config", path)
    assert (found["core"], found["hidden"], found["seed"]) == ("rnn", 32, 0)
    assert found["augment"] is False and found["rewards"] == ("final", "box=0.5")
    assert parsed("hardattn train", "--reward", "box", "--config", path)["rewards"] == ("box",)


@pytest.mark.parametrize(("value", "wanted"), [("true", "(of the run)"), ('"a.h5"', "a.h5"), ("false", None)])
def test_an_option_that_may_stand_alone_is_true_in_a_file(
    value: str, wanted: str | None, write: Callable[[str], Path]
) -> None:
    path = write(f"supervise = {value}")
    assert parsed("hardattn train", "--config", path)["supervise"] == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 3\nwidth = 2\nflavour = 1", ["options of `boed fit`", "colour, flavour;", "options.toml"]),
        ("config = 'a.toml'", ["options of `boed fit`", "config;", "options.toml"]),
        ("width = [1, 2]", ["one number or text for --width", "[1, 2]", "options.toml"]),
        ("width = true", ["one number or text for --width", "True", "options.toml"]),
        ("[width]\nq = 1", ["one number or text for --width", "{'q': 1}", "options.toml"]),
        ("pretrained = 'yes'", ["true or false for --pretrained", "'yes'", "options.toml"]),
        ("width = 8.5", ["--width", "'8.5' is not a valid integer", "options.toml"]),
        ("posterior = 'oracle'", ["--posterior", "'oracle' is not one of 'glimpse-set'", "options.toml"]),
        ("dataset = 'letters'", ["a data set of digits", "'letters'", "options.toml"]),
        ("glimpses = 0", ["--glimpses of at least 1", "found 0", "options.toml"]),
        ("glimpse-size = 8\nglimpse_size = 9", ["--glimpse-size once", "found it twice", "options.toml"]),
        ("width =", ["TOML", "options.toml"]),
    ],
)
def test_what_no_option_takes_is_refused(text: str, words: list[str], write: Callable[[str], Path]) -> None:
    refused(call("boed fit", "--config", write(text)), *words)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(call("boed fit", "--config", tmp_path / "none.toml"), "--config", "none.toml")


def test_a_second_file_is_refused(write: Callable[[str], Path]) -> None:
    path = write("width = 8")
    refused(call("boed fit", "--config", path, "--config", "b.toml"), "one --config", str(path), "b.toml")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text("width = 8", encoding="utf-8-sig")
    assert parsed("boed fit", "--config", path)["width"] == 8


def test_a_file_is_as_good_as_the_command_line_for_what_a_baseline_refuses(
    write: Callable[[str], Path],
) -> None:
    path = write('core = "gru"')
    refused(call("hardattn train", "--baseline", "fc", "--config", path), "no --core with --baseline")
    with command("hardattn train").make_context("train", ["--config", str(path)]) as context:
        assert context.get_parameter_source("core") is ParameterSource.DEFAULT_MAP


def test_a_run_notes_the_words_that_asked_for_it(write: Callable[[str], Path], tmp_path: Path) -> None:
    """The file's options make the run; its command line has them in place of the file."""
    path = write('hidden = 8\nglimpses = 1\nepochs = 0.01\ncore = "rnn"\ndevice = "cpu"')
    words = ["--config", str(path), "--run", str(tmp_path), "--name", "a b"]
    result = call("hardattn train", *words)
    assert result.exit_code == 0, result.output
    run = checkpoint.read_json(tmp_path / "hardattn-a b-0" / checkpoint.RUN)
    own = ["--hidden", "8", "--glimpses", "1", "--epochs", "0.01", "--core", "rnn", "--device", "cpu"]
    assert run["command"] == ["hardattn", "train", *own, *words[2:]]
    assert run["settings"]["recipe"]["core"] == "rnn" and run["settings"]["budget"]["epochs"] == 0.01
