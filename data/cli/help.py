"""Help as plain text, option by option under the titles of their panels: for files, pipes and tests."""

from __future__ import annotations

import click

TITLE = "Options"


def plain_help(command: click.Command, context: click.Context) -> str:
    """The help of a command as `click` itself would write it, with a section for each panel of options."""
    formatter = click.HelpFormatter(width=context.terminal_width, max_width=context.max_content_width)
    click.Command.format_usage(command, context, formatter)
    click.Command.format_help_text(command, context, formatter)
    for title, lines in sections(command, context).items():
        with formatter.section(title):
            formatter.write_dl(lines)
    if isinstance(command, click.Group):
        click.Group.format_commands(command, context, formatter)
    click.Command.format_epilog(command, context, formatter)
    return formatter.getvalue().rstrip("\n")


def sections(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """Title of a panel -> its options, each with its help, in the order in which they were declared."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for option in command.get_params(context):
        line = option.get_help_record(context)
        if line is not None:
            sections.setdefault(getattr(option, "panel", None) or TITLE, []).append(line)
    return sections
