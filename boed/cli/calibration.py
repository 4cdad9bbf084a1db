"""The command `boed calibration`: parse, one call into the library, print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from boed.part_files import FOLDER, POSTERIOR, folder_in
from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Option, device_option, json_option, panel
from data.errors import SettingsError

if TYPE_CHECKING:
    from boed.approximations import Approximations
    from data.dataset import Split

UNSEEN = ("valid", "design", "test")  # splits that neither q nor the bank is of
_IMAGES = panel(
    "Images",
    Option(
        ["--split", "part"],
        type=click.Choice(UNSEEN),
        default=UNSEEN[0],
        show_default=True,
        help="Whose images to design for.",
    ),
    Option(
        ["--images"],
        type=AtLeast(1),
        help="How many of them, at most. [default: 1000, or 100 where maps are dear]",
    ),
    Option(["--data-root"], type=PATH, help="Folder of the images. [default: where RUN was fitted from]"),
    device_option(),
)
_OUTPUT = panel(
    "Output",
    Option(["--out"], type=PATH, help="The picture. [default: RUN/calibration[-OPTIONS].png]"),
    json_option(),
)


@click.command(cls=Command, params=[*_IMAGES, *_OUTPUT])
@click.argument("run", type=PATH)
def calibration(
    run: Path,
    part: str,
    images: int | None,
    data_root: Path | None,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Says whether the expected entropies of the fit in RUN come true, on images that it has not seen.

    At every glimpse of designs for them: entropy and NLL of q before it, the EPE of the chosen place, the
    cross-entropy that is realised there, the standard error of their difference; and over all places slope
    and correlation of what is realised on what is predicted. In nats, as a table and as a picture.

    \b
    Examples:
      boed calibration runs/digits
      boed calibration runs/digits --split test --images 300 --out truth.png
      boed calibration runs/celebahq-Male/approximations-avp-cnn --json
    """
    folder = folder_in(run)
    path = out or picture_of(folder, part)
    if path.suffix.lower() != ".png":
        raise SettingsError(f"expected a picture FILE.png, found --out {path}")
    from boed.calibration import measure_calibration
    from boed.calibration_pictures import draw_calibration
    from boed.calibration_table import calibration_table

    fitted, split = opened(folder, part, data_root, device)
    rows = measure_calibration(fitted, split, images=images)
    draw_calibration(path, rows, part)
    if as_json:
        click.echo(
            json.dumps({"folder": str(folder), "split": part, "rows": [row.to_json() for row in rows]})
        )
    else:
        click.echo(f"{calibration_table(rows, part)}\nwrote {path}")


def picture_of(folder: Path, part: str) -> Path:
    """Where the picture goes: beside the approximations.

    >>> picture_of(Path("runs/digits/approximations-avp-cnn"), "test").as_posix()
    'runs/digits/calibration-avp-cnn-test.png'
    """
    tag = folder.name.removeprefix(FOLDER) if folder.name.startswith(FOLDER) else ""
    return folder.parent / f"calibration{tag}{'' if part == UNSEEN[0] else f'-{part}'}.png"


def opened(folder: Path, part: str, data_root: Path | None, device: str) -> tuple[Approximations, Split]:
    """The approximations in a folder, and a split of the data set that they were fitted on.

    Raises:
        SettingsError: they are those of several attributes together.
        GlimpseError: see `boed.load`, `data.registry.reopen` and `data.dataset.DataSet`.
    """
    from boed.fitting.fit import load
    from boed.saved import read_posterior, saved_facts
    from data.device import choose_device
    from data.registry import reopen

    facts = saved_facts(folder / POSTERIOR, read_posterior(folder)[1])
    if facts.attributes > 1:
        raise SettingsError(
            f"expected the fit of one attribute in {folder}, found that of {facts.attributes} together; "
            "name the folder of one"
        )
    dataset = reopen(facts.origin or {}, data_root, str(folder))
    if dataset.note:
        click.echo(dataset.note, err=True)
    split = dataset[part]  # refused before what is slow
    return load(folder, dataset, device=choose_device(device)), split
