"""Every command and option of the command lines explains itself."""

import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

import benchmarks.table
import boed.cli.main
import hardattn.cli.main

GROUPS: dict[str, click.Command] = {"boed": boed.cli.main.main, "hardattn": hardattn.cli.main.main}
EXPECTED = {"boed": {"fit", "generate", "show"}, "hardattn": {"train", "evaluate"}}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    for name, group in GROUPS.items():
        assert isinstance(group, click.Group)
        yield from ((f"{name} {command}", group.commands[command]) for command in sorted(group.commands))
    yield "python -m benchmarks.table", benchmarks.table.main


COMMANDS = dict(commands())
OPTIONS = [
    pytest.param(option, id=f"{name} {option.opts[0]}")
    for name, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]


def help_of(command: click.Command) -> str:
    done = CliRunner().invoke(command, ["--help"], terminal_width=200)
    assert done.exit_code == 0, done.output
    return done.output


def examples(name: str) -> list[str]:
    """The lines under "Example:" or "Examples:" that call the command."""
    _, found, after = help_of(COMMANDS[name]).partition("Example")
    assert found, f"{name} --help has no example"
    block = after.partition("\n\n")[0]
    return [line.strip() for line in block.splitlines() if line.strip().startswith(f"{name} ")]


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_has_its_commands_and_says_what_it_is_for(name: str) -> None:
    group = GROUPS[name]
    assert isinstance(group, click.Group)
    assert set(group.commands) >= EXPECTED[name]
    assert group.help


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name: str) -> None:
    assert COMMANDS[name].help, f"{name} has no help"
    assert COMMANDS[name].get_short_help_str(200)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_help(option: click.Option) -> None:
    assert option.help, f"{option.opts} has no help"
    assert option.help.rstrip()[-1] in ".])", f"{option.opts}: no sentence: {option.help!r}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_examples_that_parse(name: str) -> None:
    """What the examples call is there; only the parser runs."""
    lines = examples(name)
    assert lines, f"{name} --help has no example that starts with {name!r}"
    command = COMMANDS[name]
    for line in lines:
        arguments = shlex.split(line.removeprefix(f"{name} "))
        with click.Context(command, info_name=name) as context:
            command.parse_args(context, arguments)


@pytest.mark.parametrize("name", GROUPS)
def test_python_dash_m_works_too(name: str) -> None:
    done = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in EXPECTED[name])
