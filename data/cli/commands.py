"""Commands: imported when they are called, all bad input answered in one line, options from a file."""

from __future__ import annotations

import os
import sys
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click
from rich_click import RichCommand, RichGroup, RichOption

from data.cli.config import config_options, save_config, words_of_file
from data.cli.help import plain_help
from data.cli.interrupts import KEPT, LOST, end, terminable
from data.errors import GlimpseError, on_one_line
from data.stages import Profile, profiled
from data.system_errors import advice

GROUP_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_PROFILE = "data.cli.profile"  # whether a command says where its time goes
_WORDS = "data.cli.words"  # of the command line, in what a context and those below it share


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns an error that the user can act on into one line on standard error and exit code 2."""
    try:
        yield
    except GlimpseError as error:
        click.echo(f"error: {on_one_line(str(error))}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        raise  # whoever read the output has gone; click ends quietly
    except OSError as error:
        told = advice(error)
        todo = f"; {told}" if told else ""
        found = on_one_line(f"expected files that can be read and written, found: {error}{todo}")
        click.echo(f"error: {found}", err=True)
        sys.exit(2)
    except MemoryError:
        click.echo(
            "error: expected enough memory, found too little; take smaller files or settings",
            err=True,
        )
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        end(interrupt)


@contextmanager
def standing_in() -> Iterator[None]:
    """While it lasts there is a standard output and a standard error, to nowhere if there was none.

    Both take names that are no text of their encoding: in UTF-8 their bytes go out as they came in.
    """
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None or stream.closed:
                stack.enter_context(redirect(stack.enter_context(open(os.devnull, "w"))))
            elif isinstance(stream, TextIOWrapper) and stream.errors == "strict":
                utf_8 = stream.encoding.lower().replace("-", "") == "utf8"
                stream.reconfigure(errors="surrogateescape" if utf_8 else "backslashreplace")
                stack.callback(stream.reconfigure, errors="strict")
        yield


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """Turns a command line that cannot be read into one line on standard error and exit code 2."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        message = " ".join(line.strip() for line in error.format_message().splitlines())
        click.echo(f"error: expected options as in --help, found otherwise: {on_one_line(message)}", err=True)
        sys.exit(2)
    except click.Abort as error:
        before = error.__cause__  # what came before the command itself ran
        end(before if isinstance(before, KeyboardInterrupt) else KeyboardInterrupt())


def command_line() -> list[str] | None:
    """The words that called the command that runs, as `["boed", "fit"]`; None where none runs.

    Options of a file stand in place of `--config FILE`, so that the words ask for the same without it;
    `--save-config FILE`, which would write over that file, is left out.

    >>> command_line() is None
    True
    """
    context = click.get_current_context(silent=True)
    words: list[str] | None = None if context is None else context.meta.get(_WORDS)
    words = words and _without(words, "--save-config")
    if context is None or words is None or context.default_map is None:
        return words
    at = next(i for i, word in enumerate(words) if word.partition("=")[0] == "--config")
    after = at + (1 if "=" in words[at] else 2)
    here, last = words_of_file(context)
    return [*words[:at], *here, *words[after:], *last]


def _without(words: list[str], option: str) -> list[str]:
    """The words without an option and its value.

    >>> _without(["fit", "--to", "a", "--seed", "3", "--to=b"], "--to")
    ['fit', '--seed', '3']
    """
    values = [False, *(word == option for word in words)]
    pairs = zip(words, values, strict=False)
    return [word for word, value in pairs if not value and word.partition("=")[0] != option]


def profile_option() -> click.Option:
    """`--profile`, of commands whose work has stages; see `data.stages`."""
    return RichOption(
        ["--profile"],
        is_flag=True,
        expose_value=False,
        callback=_note_profile,
        help="Say at the end, on standard error, where the time went: seconds and share of each stage.",
        panel="Output",
    )


def _note_profile(context: click.Context, _: click.Parameter, asked: bool) -> None:
    context.meta[_PROFILE] = asked


@contextmanager
def profile_said(context: click.Context) -> Iterator[None]:
    """Says at the end, where that is asked for, how long the stages within took; also if they fail."""
    if not context.meta.get(_PROFILE):
        yield
        return
    profile = Profile()
    try:
        with profiled(profile):
            yield
    finally:
        click.echo(str(profile), err=True)


class LazyCommands(UserDict[str, click.Command]):
    """Commands by name, each imported when it is looked up.

    Args:
        places: name -> "module:attribute".

    >>> commands = LazyCommands({"show": "boed.cli.show:show"})
    >>> list(commands), commands["show"].name
    (['show'], 'show')
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        super().__init__()
        self.data: dict[str, Any] = dict(places)

    def __getitem__(self, name: str) -> click.Command:
        place = super().__getitem__(name)
        if isinstance(place, str):
            module, _, attribute = place.partition(":")
            self.data[name] = getattr(import_module(module), attribute)
        return super().__getitem__(name)


class Command(RichCommand):
    """A command whose options may stand in a file; its help has panels on a terminal, and none elsewhere.

    Args:
        resumable: whether the same command, interrupted, goes on where it was.
        staged: whether it can say where its time goes, with `--profile`.
    """

    def __init__(self, *args: Any, resumable: bool = False, staged: bool = False, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.resumable = resumable
        self.params += [*([profile_option()] if staged else []), *config_options()]

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx) if sys.stdout.isatty() else plain_help(self, ctx)

    def invoke(self, ctx: click.Context) -> Any:
        save_config(ctx)
        try:
            with profile_said(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            end(interrupt, KEPT if self.resumable else LOST)


class Commands(RichGroup):
    """A group of commands, each in a module of its own, that answers all bad input in one line.

    Args:
        places: name of a command -> "module:attribute" of it.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands = LazyCommands(places)

    def get_help(self, ctx: click.Context) -> str:
        return super().get_help(ctx) if sys.stdout.isatty() else plain_help(self, ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = [self.name, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors():
            return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Runs the command line, also where there is nothing to write to."""
        run: Callable[..., Any] = partial(click.Group.main, self)  # of rich-click, errors have several lines
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        with standing_in(), terminable(), one_line_refusals():
            sys.exit(run(*args, standalone_mode=False, **extra))
