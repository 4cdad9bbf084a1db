"""The command `hardattn benchmark`: parse, one call into the library, print."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from data.cli.commands import Command, command_line
from data.cli.options import PATH, AtLeast, Option, Within, device_option, json_option, open_task, panel
from hardattn.experiments.choices import BENCHMARK_MINUTES

_LENGTH = panel(
    "Length",
    Option(
        ["--minutes"],
        type=Within(min=0, min_open=True),
        default=BENCHMARK_MINUTES,
        show_default=True,
        help="Of everything, about.",
    ),
    Option(["--seed"], default=0, show_default=True, help="Of everything that is drawn."),
    device_option(),
)
_IMAGES = panel(
    "Images",
    Option(
        ["--image-size"],
        type=AtLeast(1),
        help="Side that images are brought to, in pixels. [default: 128]",
    ),
    Option(["--classes"], type=PATH, help="Text file of the class folders to take. [default: all]"),
    Option(["--run"], type=PATH, help="Folder of everything. [default: runs/folder]"),
)


@click.command(cls=Command, resumable=True, params=[*_LENGTH, *_IMAGES, *panel("Output", json_option())])
@click.argument("folder", type=PATH)
def benchmark(folder: Path, run: Path | None, as_json: bool, **options: Any) -> None:
    """What hard attention gains on photographs of your own, in FOLDER/CLASS.

    Where there are FOLDER/train/CLASS and FOLDER/val/CLASS, the latter are the test images; else a hash of
    the bytes of each photograph parts them, copies together.

    Fits the approximations, designs glimpses of several widths, has them judged, trains networks that look
    and networks that see the whole image, and writes a report; ends with one sentence: what accuracy costs
    what, with and without attention, and whether looking adaptively pays there.

    \b
    Examples:
      hardattn benchmark photographs
      hardattn benchmark photographs --minutes 30 --image-size 64
    """
    began = time.monotonic()
    from hardattn.experiments.benchmark.answer import answer
    from hardattn.experiments.benchmark.run import benchmark

    asked = {"name": "folder", "data_root": folder, "run_dir": run}
    task = open_task(asked | {name: options.pop(name) for name in ("image_size", "classes")})
    say = partial(click.echo, err=True)
    found = benchmark(task.dataset, task.run, command=command_line(), began=began, say=say, **options)
    if as_json:
        click.echo(json.dumps(found.to_json() | {"answer": answer(found)}))
        return
    click.echo(f"wrote {found.report}; open it in a browser\n{answer(found)}")
