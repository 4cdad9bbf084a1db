"""Options in a file: `--config FILE.toml` sets those of a command, `--save-config FILE` writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import tomli_w
from click.core import ParameterSource
from rich_click import RichOption

from data.errors import SettingsError
from data.files import read_toml, write_text

_SAVE = "data.cli.save"  # where to, in what a context has for others


def config_options() -> list[click.Parameter]:
    """The two options that every command has."""
    kind: Any = click.Path(path_type=Path, dir_okay=False)
    about = {"type": kind, "metavar": "FILE", "expose_value": False, "panel": "Options in a file"}
    return [
        RichOption(
            ["--config"],
            is_eager=True,
            multiple=True,  # so that a second one is not passed over
            callback=_take,
            help="TOML file of options, as lines `name = value`; those of the command line count before it.",
            **about,
        ),
        RichOption(
            ["--save-config"],
            callback=_note,
            help="Write the options of this call, for --config, before it runs.",
            **about,
        ),
    ]


def read_config(path: Path, context: click.Context) -> dict[str, Any]:
    """Parameter -> value, of the options in a file, as words like those of the command line.

    Raises:
        SettingsError: no file, no TOML, an option that the command does not have or that is there twice, or
            a value that it does not take.
    """
    written, known = _toml(path), options_of(context.command)
    unknown = [name for name in written if name.replace("_", "-") not in known]
    if unknown:
        raise SettingsError(
            f"expected options of `{context.command_path}` in {path}, found {', '.join(unknown)}; see --help"
        )
    values: dict[str, Any] = {}
    for name, value in written.items():
        option = known[name.replace("_", "-")]
        if option.name in values:
            raise SettingsError(f"expected {option.opts[0]} once in {path}, found it twice; leave one out")
        values[option.name or ""] = _given(option, value, path)
        _require_taken(option, values[option.name or ""], path, context)
    return values


def words_of_file(context: click.Context) -> tuple[list[str], list[str]]:
    """The options that a file set for a command, as words of the command line.

    Returns:
        Those to stand in place of the file, and those for the end, where no argument can be taken for their
        value.
    """
    own = {option.name: option for option in options_of(context.command).values()}
    chosen = [
        (own[name], value)
        for name, value in (context.default_map or {}).items()
        if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP and value is not None
    ]
    last = [option.opts[0] for option, value in chosen if _stands_alone(option, value)]
    others = [(option, value) for option, value in chosen if not _stands_alone(option, value)]
    return [word for option, value in others for word in _words(option, value)], last


def save_config(context: click.Context) -> None:
    """Writes what the command line and a file say, where --save-config asks for it; no defaults."""
    path = context.meta.get(_SAVE)
    if path is None:
        return
    values = {
        name: _written(option, context.params[option.name or ""])
        for name, option in options_of(context.command).items()
        if is_given(context, option)
    }
    write_text(path, tomli_w.dumps(values))


def is_given(context: click.Context, option: click.Parameter) -> bool:
    """Whether the command line or a file names a parameter, with a value."""
    name = option.name or ""
    source = context.get_parameter_source(name)
    return source is not ParameterSource.DEFAULT and context.params.get(name) is not None


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Long name without dashes -> option, of all that say something to the command itself."""
    options = [one for one in command.params if isinstance(one, click.Option) and one.expose_value]
    return {
        name.removeprefix("--"): option for option in options for name in option.opts if name.startswith("--")
    }


def _take(context: click.Context, _: click.Parameter, paths: tuple[Path, ...]) -> None:
    if len(paths) > 1:
        names = ", ".join(map(str, paths))
        raise SettingsError(f"expected one --config, found {names}; put their options into one file")
    if paths:
        context.default_map = read_config(paths[0], context)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except OSError as error:
        raise SettingsError(f"expected a file to read for --config, found: {error}; name another") from None


def _note(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    context.meta[_SAVE] = path


def _require_taken(option: click.Option, value: Any, path: Path, context: click.Context) -> None:
    """Raises SettingsError, which names the file, for a value that the option does not take."""
    try:
        option.type_cast_value(context, value)
    except click.UsageError as error:
        raise SettingsError(
            f"expected options as in --help in {path}, found otherwise: {error.format_message()}"
        ) from None
    except SettingsError as error:
        raise SettingsError(f"{error} (in {path})") from None


def _words(option: click.Option, value: Any) -> list[str]:
    """An option with a value of a file, as words of the command line; none for a flag that is not set."""
    if isinstance(value, bool):
        return [option.opts[0]] if value else option.secondary_opts[:1]
    if isinstance(value, list):
        return [word for each in value for word in _words(option, each)]
    text, name = str(value), option.opts[0]
    return [f"{name}={text}"] if text.startswith("-") else [name, text]


def _given(option: click.Option, value: Any, path: Path) -> Any:
    """A value of TOML as the option takes it."""
    if option.multiple:
        return [_word(option, each, path) for each in (value if isinstance(value, list) else [value])]
    return _word(option, value, path)


def _word(option: click.Option, value: Any, path: Path) -> Any:
    """One value; true and false are of flags, and of an option that may stand without a value."""
    if isinstance(value, bool) and option.is_flag:
        return value
    if isinstance(value, bool) and _may_stand_alone(option):
        return option.flag_value if value else None
    if isinstance(value, bool | list | Mapping) or option.is_flag:
        wanted = "true or false" if option.is_flag else "one number or text"
        raise SettingsError(f"expected {wanted} for {option.opts[0]} in {path}, found {value!r}; change it")
    return str(value)


def _written(option: click.Option, value: Any) -> Any:
    """A value as TOML has it; of an option that is given once, several numbers are one text, as 16,32."""
    if isinstance(value, tuple) and not option.multiple:
        return ",".join(map(str, value))
    if isinstance(value, tuple):
        return [_written(option, each) for each in value]
    if _stands_alone(option, value):
        return True
    return str(value) if isinstance(value, Path) else value


def _stands_alone(option: click.Option, value: Any) -> bool:
    return _may_stand_alone(option) and value == option.flag_value


def _may_stand_alone(option: click.Option) -> bool:
    return not option.is_flag and isinstance(option.flag_value, str)
