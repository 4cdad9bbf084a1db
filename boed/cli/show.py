"""The command `boed show`: parse, one call into the library, print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from boed.pictures.choices import EXTENT, OF_FIT, PICTURES
from data.cli.commands import Command
from data.cli.options import PATH, AtLeast, Option, data_options, open_task, panel
from data.errors import SettingsError

if TYPE_CHECKING:
    from boed.approximations import Approximations
    from data.dataset import DataSet
    from supervision.store import SequenceStore

SPLITS = ("design", "train", "valid", "test")
_PICTURE = panel(
    "Picture",
    Option(
        ["--picture"],
        type=click.Choice(PICTURES),
        default=PICTURES[0],
        show_default=True,
        help="sequences: glimpses, what they show, and the maps that chose them. information: where there is "
        "something to know, above where glimpses were taken. masked-images: what the posterior avp-cnn sees. "
        "completions: what the image may look like after each glimpse.",
    ),
    Option(
        ["--image", "images"],
        type=int,
        multiple=True,
        metavar="ID",
        help="Image id; may be repeated. [default: the first four; of completions the first]",
    ),
    Option(
        ["--fit", "fit_dir"],
        type=PATH,
        help="Folder of the fit that masked images and completions come from. [default: the one beside FILE]",
    ),
    Option(
        ["--out"], type=PATH, help="The picture. [default: FILE with .png; DATASET-SPLIT.png of a sample]"
    ),
)
_SAMPLE = panel(
    "Images of any data set",
    Option(
        ["--sample"],
        is_flag=True,
        help="Draw images, labels, boxes and parts of --dataset; no FILE is needed.",
    ),
    Option(
        ["--split", "part"],
        type=click.Choice(SPLITS),
        default="train",
        show_default=True,
        help="Whose images are drawn (--sample).",
    ),
    Option(
        ["--images", "count"],
        type=AtLeast(1),
        default=24,
        show_default=True,
        help="How many at most, a fair sample (--sample).",
    ),
)
_ROOT = Option(["--data-root"], type=PATH, help="Folder of the images. [default: where FILE was made from]")
_NAMED = [option for option in data_options() if option.name not in ("run_dir", "data_root")]


@click.command(cls=Command, params=[*_PICTURE, *_SAMPLE, *panel("Data", _ROOT), *_NAMED])
@click.argument("file", type=PATH, required=False)
def show(file: Path | None, sample: bool, out: Path | None, **options: Any) -> None:
    """Draws the glimpses of FILE on their images, or images of a data set before anything is fitted.

    FILE is a store of sequences, of `boed generate` or `hardattn record`. Maps are in nats of information
    that a glimpse is expected to gain: the entropy of q before it less the expected posterior entropy (EPE).
    A sample is of the data set that --dataset and the options below it name.

    \b
    Examples:
      boed show runs/digits/sequences.h5
      boed show runs/celebahq-Male/sequences.h5 --image 3 --image 7 --out faces.png
      boed show runs/digits/sequences.h5 --picture information
      boed show runs/digits/sequences.h5 --picture completions --image 12
      boed show runs/avp/sequences-avp-cnn.h5 --picture masked-images --fit runs/avp/approximations-avp-cnn
      boed show --sample --dataset cub --data-root DIR --split test --out birds.png
    """
    if out is not None and out.suffix.lower() != ".png":
        raise SettingsError(f"expected a picture FILE.png, found --out {out}")
    picture = sample_picture if sample else store_picture
    path = picture(file, out, options)
    click.echo(f"wrote {path}")


def sample_picture(file: Path | None, out: Path | None, options: Mapping[str, Any]) -> Path:
    """Draws images of the data set that the options name."""
    if file is not None:
        raise SettingsError(f"expected --sample without a FILE, found {file}; leave one of them out")
    _require_unset(("picture", "fit_dir"), "without --sample")
    task, part = open_task(options), options["part"]
    from data.gallery import draw_sample, sample_of
    from data.runs import default_run

    path = out or Path(f"{default_run(task.dataset).name}-{part}.png")
    draw_sample(path, sample_of(task.dataset, part, options["count"], options["images"]))
    return path


def store_picture(file: Path | None, out: Path | None, options: Mapping[str, Any]) -> Path:
    """Draws a picture of a store of sequences."""
    if file is None:
        raise SettingsError("expected a FILE of sequences, or --sample, found neither; name one of them")
    _require_unset([option.name or "" for option in (*_SAMPLE, *_NAMED)], "with --sample alone")
    picture, ids = options["picture"], sorted(set(options["images"]))
    if picture not in OF_FIT:
        _require_unset(["fit_dir"], f"with --picture {' or '.join(OF_FIT)}")
    if picture not in EXTENT:
        _require_unset(["images"], f"with --picture {' or '.join(EXTENT)}")
    from boed.pictures.of_store import draw_picture
    from supervision.store import SequenceStore

    tag = "" if picture == PICTURES[0] else f"-{picture}"
    path, store = out or file.with_name(f"{file.stem}{tag}.png"), SequenceStore.read(file)
    dataset = reopen(store, options["data_root"])
    fitted = fit_of(options["fit_dir"] or file.parent, dataset) if picture in OF_FIT else None
    ids = ids or store.ids[store.done][: EXTENT.get(picture)].tolist()
    draw_picture(path, picture, store, dataset, ids, fitted)
    return path


def fit_of(folder: Path, dataset: DataSet) -> Approximations:
    """The approximations in a folder, or in the folder of a run."""
    from boed.fitting.fit import load
    from boed.part_files import folder_in

    return load(folder_in(folder), dataset)


def reopen(store: SequenceStore, data_root: Path | None) -> DataSet:
    """The data set that a store was made for."""
    from data.registry import reopen as opened_again

    dataset = opened_again(store.origin, data_root, store.name)
    if dataset.note:
        click.echo(dataset.note, err=True)
    return dataset


def _require_unset(names: Sequence[str], where: str) -> None:
    """Raises SettingsError for an option that has no effect here."""
    context = click.get_current_context()
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source not in (None, ParameterSource.DEFAULT):
            raise SettingsError(f"expected {option.opts[0]} {where}, found otherwise; leave it out")
