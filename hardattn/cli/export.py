"""The command `hardattn export`: parse, one call into the library, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, Name, Option, panel
from data.errors import SettingsError
from hardattn.cli.stop_options import require_stop, stop_of, stop_options
from hardattn.exporting.registry import DEFAULT, FORMATS, FREE, STEP, STOPPING


class BatchSize(click.ParamType):  # type: ignore[type-arg]
    """A whole number from 1 on, or free, which is None."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value == FREE:
            return None
        if not (value.isdecimal() and int(value) >= 1):
            raise SettingsError(
                f"expected --batch {FREE} or a whole number from 1 on, found {value!r}; change it"
            )
        return int(value)


_FILE = panel(
    "File",
    Option(
        ["--format", "kind"],
        type=Name(FORMATS),
        metavar="NAME",
        default=DEFAULT,
        show_default=True,
        help=f"Of {', '.join(FORMATS)}.",
    ),
    Option(
        ["--batch"],
        type=BatchSize(),
        metavar=f"{FREE}|N",
        default=FREE,
        show_default=True,
        help="How many images go into a step: any number, or N.",
    ),
    Option(["--out"], type=PATH, metavar="FILE", help=f"[default: {STEP}.onnx or {STEP}.pt2 in RUN_DIR]"),
)


@click.command(cls=Command, params=[*_FILE, *panel("Stopping", *stop_options(STOPPING))])
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
def export(
    run_folder: Path,
    kind: str,
    batch: int | None,
    out: Path | None,
    stop: str | None,
    budget_glimpses: float | None,
) -> None:
    """Writes one step of the network of RUN_DIR for other programs: ONNX, or a file of torch.export.

    A step takes a state, a glimpse and its place, and gives the next state, the probabilities of the classes,
    the likeliest place to look at next and what the stopping heads say. FILE.json says what else is needed:
    sizes, first place and state, and the rule of --stop. Both are written after a check that the step says
    what the network says.

    \b
    Examples:
      hardattn export runs/digits/hardattn-ps-nogs-0
      hardattn export runs/digits/hardattn-ps-nogs-0 --stop gain=0.02 --batch 1 --out step.onnx
      hardattn export runs/digits/hardattn-ps-nogs-0 --format torch --budget-glimpses 2
    """
    require_stop(stop, budget_glimpses)

    from hardattn.models import load

    model = load(run_folder, device="cpu")
    chosen = stop_of(model, stop, budget_glimpses, STOPPING)
    file = out or run_folder / f"{STEP}{FORMATS[kind].suffix}"
    found = model.export(file, format=kind, batch=batch, stop=chosen)
    name, value = FORMATS[kind].version
    size = found.file.stat().st_size / 1000
    click.echo(f"wrote {found.file} ({name} {value}, {size:.0f} kB, batch {batch or FREE}) and {found.about}")
    click.echo(f"it says what the network says up to {found.difference:.1g}")
