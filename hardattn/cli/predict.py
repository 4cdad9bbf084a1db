"""The command `hardattn predict`: what a trained network says of images, and how often it had to look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.cli.commands import Command
from data.cli.options import PATH, Option, device_option, json_option, panel
from data.errors import SettingsError
from hardattn.cli.stop_options import require_stop, stop_of, stop_options
from hardattn.stopping.registry import RULES

if TYPE_CHECKING:
    from hardattn.stopping.stop import Stop

COLUMNS = ("file", "label", "probability", "glimpses", "pixels", "values_read", "pixels_read")


_STOPPING = panel("Stopping", *stop_options(RULES), device_option())
_OUTPUT = panel(
    "Output",
    json_option(),
    Option(["--csv", "as_csv"], is_flag=True, help="Print comma-separated values."),
)


@click.command(cls=Command, params=[*_STOPPING, *_OUTPUT])
@click.argument("run_folder", metavar="RUN_DIR", type=PATH)
@click.argument("images", metavar="IMAGE...", type=PATH, nargs=-1, required=True)
def predict(
    run_folder: Path,
    images: Sequence[Path],
    stop: str | None,
    budget_glimpses: float | None,
    device: str,
    as_json: bool,
    as_csv: bool,
) -> None:
    """The class of every IMAGE, or of all images in a folder, by the network of RUN_DIR.

    Images of another size than those of the training are cropped to their central square and resampled.

    \b
    Examples:
      hardattn predict runs/faces/hardattn-ps-nogs-0 photo.jpg
      hardattn predict runs/faces/hardattn-ps-nogs-0 photos --stop gain=0.02 --csv
      hardattn predict runs/faces/hardattn-ps-nogs-0 photos --budget-glimpses 2 --json
    """
    if as_json and as_csv:
        raise SettingsError("expected --json or --csv, found both; leave one out")
    require_stop(stop, budget_glimpses)

    from data.files import rows_text
    from hardattn.images import image_paths
    from hardattn.models import load

    model, paths = load(run_folder, device=device), [path for each in images for path in image_paths(each)]
    chosen = stop_of(model, stop, budget_glimpses)
    answers = model.predict(paths, chosen)
    rows = [{"file": str(path), **row} for path, row in zip(paths, answers.rows(), strict=True)]
    if as_json:
        click.echo(json.dumps({"run": str(run_folder), "stop": chosen and str(chosen), "images": rows}))
    elif as_csv:
        click.echo(rows_text(rows, COLUMNS), nl=False)
    else:
        click.echo(table(rows, chosen))


def table(rows: Sequence[dict[str, Any]], stop: Stop | None) -> str:
    """For people: one line for each image, and the mean number of glimpses."""
    shown = [row | {"probability": f"{row['probability']:.3f}"} for row in rows]
    cells = [COLUMNS, *(tuple(str(row[name]) for name in COLUMNS) for row in shown)]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, wide, strict=True))
        )
        for row in cells
    ]
    mean = sum(row["glimpses"] for row in rows) / len(rows)
    how = f"stopped by {stop.rule}={stop.threshold:.4g}" if stop else "all glimpses taken"
    images = "1 image" if len(rows) == 1 else f"{len(rows)} images"
    return "\n".join([*lines, f"{images}, {mean:.2f} glimpses in the mean, {how}"])
