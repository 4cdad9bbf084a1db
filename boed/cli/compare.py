"""The commands `boed import` and `boed compare`: parse, one call into the library, print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from boed.comparison.compare import Comparison, Source, average, common, common_names
from boed.comparison.compare import compare as compare_sources
from boed.comparison.judge import JudgeSettings
from boed.comparison.verdict import sentence, table
from data.cli.options import PATH, default_run, one_line_errors, open_task
from data.dataset import DataSet
from data.device import choose_device
from data.errors import SettingsError, StoreError
from data.geometry import Geometry
from data.registry import load
from supervision.published import import_published
from supervision.store import SequenceStore

SAME = ("dataset", "target", "fingerprint", "geometry")


@click.command(name="import")
@click.argument("path", metavar="ARCHIVE", type=PATH)
@click.option(
    "--dataset",
    "name",
    type=click.Choice(["celebahq", "birds"]),
    default="celebahq",
    show_default=True,
    help="What the sequences were made for.",
)
@click.option("--attribute", help="Of CelebA-HQ, by name.")
@click.option("--data-root", type=PATH, help="Folder of the images; needed to train or to compare later.")
@click.option(
    "--out", type=PATH, help="The store. [default: runs/DATASET[-ATTRIBUTE]/sequences-published.h5]"
)
@one_line_errors
def import_(path: Path, name: str, attribute: str | None, data_root: Path | None, out: Path | None) -> None:
    """Brings published glimpse sequences, in their authors' text files, into a store.

    ARCHIVE is a .tar.gz, a .tar or a folder, with celebhq/NUMBER/IMAGE.txt or birds/N.txt in it.

    \b
    Examples:
      boed import celebahq.tar.gz --attribute Male --data-root DIR
      boed import birds.tar.gz --dataset birds --out birds.h5
    """
    if (name == "celebahq") != (attribute is not None):
        raise SettingsError(
            f"expected --attribute with celebahq and none with birds, found {attribute} with {name}"
        )
    if name == "birds" and data_root is not None:
        raise SettingsError(f"expected no data root for birds, found {data_root}; leave it out")
    dataset, run = None, Path("runs") / "-".join([name, *([attribute] if attribute else [])])
    origin: dict[str, Any] = {"name": name, "data_root": None, "attribute": attribute, "canvas": None}
    if data_root is not None:
        dataset, run, origin = open_task(name, attribute, None, data_root, None)
        run = default_run(dataset)
    out = out or run / "sequences-published.h5"
    store = import_published(path, out, attribute=attribute, dataset=dataset, origin=origin)
    click.echo(f"{int(store.done.sum())} sequences of {store.steps} glimpses in {out}")
    if dataset is None:
        click.echo("without images: give --data-root and another --out for a store to train on or compare")


@click.command()
@click.argument("paths", metavar="STORE...", type=PATH, nargs=-1, required=True)
@click.option("--data-root", type=PATH, help="Folder of the images. [default: where STORE was made from]")
@click.option(
    "--iterations", default=JudgeSettings.iterations, show_default=True, help="Of training each judge."
)
@click.option(
    "--judges",
    default=JudgeSettings.judges,
    show_default=True,
    help="Trainings per fold, whose probabilities are averaged.",
)
@click.option(
    "--alike",
    default=JudgeSettings.alike,
    show_default=True,
    help="A training image takes the most fitting of so many random sequences of a source.",
)
@click.option("--seed", default=JudgeSettings.seed, show_default=True, help="Of judges and resamples.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@one_line_errors
def compare(
    paths: tuple[Path, ...], data_root: Path | None, device: str, as_json: bool, **chosen: int
) -> None:
    """Judges the sequences of every STORE by a posterior that had no part in making them.

    Accuracy, NLL and calibration error after each glimpse with 95 % intervals over images, and whether the
    adaptive design beats the fixed order. Stores of several targets are compared target by target, and then
    on average over targets.

    \b
    Examples:
      boed compare runs/digits/sequences.h5 runs/digits/sequences-fixed-order.h5
      boed compare runs/celebahq-*/sequences*.h5 --json
    """
    settings, place = JudgeSettings(**chosen), choose_device(device)
    groups = by_target([SequenceStore.read(path) for path in paths])
    tasks = [(reopened(stores, data_root), sources_of(stores)) for stores in groups.values()]
    require_comparable([sources for _, sources in tasks])
    steps = min(source.locations.shape[1] for _, sources in tasks for source in sources)
    found = []
    for (dataset, sources), stores in zip(tasks, groups.values(), strict=True):
        cut = [replace(source, locations=source.locations[:, :steps]) for source in sources]
        geometry = geometry_of(stores)
        found.append(compare_sources(dataset, geometry, cut, settings, device=place))
        if not as_json:
            click.echo(f"{table(found[-1])}\n{sentence(found[-1])}\n")
    if as_json:
        click.echo(json.dumps(to_json(found)))
    elif len(found) > 1:
        mean = average(found)
        click.echo(f"mean over {len(found)} targets\n{table(mean)}\n{sentence(mean)}")


def by_target(stores: Sequence[SequenceStore]) -> dict[str, list[SequenceStore]]:
    """Stores of the same target together; those of one target must be of the same task.

    Raises:
        StoreError: two stores are of different data sets, images or geometries (both values are shown).
    """
    groups: dict[str, list[SequenceStore]] = {}
    for store in stores:
        groups.setdefault(str(store.settings.get("target")), []).append(store)
    for store in stores:
        _require_same(stores[0], store, ("dataset",))
        _require_same(groups[str(store.settings.get("target"))][0], store, SAME)
    return groups


def geometry_of(stores: Sequence[SequenceStore]) -> Geometry:
    """The geometry of all stores; where some sequences start with a glance, the judge can take one."""
    found = [Geometry(**store.settings["geometry"]) for store in stores]
    return replace(found[0], first_glance=any(geometry.first_glance for geometry in found))


def _require_same(first: SequenceStore, other: SequenceStore, names: Sequence[str]) -> None:
    for name in names:
        values = [json.dumps(_task_of(store).get(name), sort_keys=True) for store in (first, other)]
        if values[0] != values[1]:
            raise StoreError(
                f"expected stores of the same {name}, found {first.path} with {values[0]} and {other.path} "
                f"with {values[1]}; compare stores made from the same images (import with --data-root)"
            )


def _task_of(store: SequenceStore) -> dict[str, Any]:
    """The settings, without whether sequences start with a glance: those that do compare with others."""
    geometry = store.settings.get("geometry")
    if geometry is None:
        return store.settings
    return store.settings | {"geometry": {k: v for k, v in geometry.items() if k != "first_glance"}}


def reopened(stores: Sequence[SequenceStore], data_root: Path | None) -> DataSet:
    """The data set that the stores were made from."""
    origins = [store.origin for store in stores]
    origin = next((each for each in origins if each.get("data_root")), origins[0])
    dataset = load(**origin | ({"data_root": data_root} if data_root else {}))
    if dataset.note:
        click.echo(dataset.note, err=True)
    stores[0].require({"fingerprint": dataset["design"].fingerprint})
    return dataset


def sources_of(stores: Sequence[SequenceStore]) -> list[Source]:
    """The finished sequences of each store, under the name of their source or, with two of it, also the file.

    Raises:
        StoreError: nothing of a store is finished, or a store is given twice.
    """
    kinds = [str(store.settings.get("design", {}).get("source")) for store in stores]
    found = []
    for store, kind, name in zip(stores, kinds, unique_names(kinds, [s.path for s in stores]), strict=True):
        rows = store.done.nonzero().view(-1)
        if len(rows) == 0:
            raise StoreError(
                f"expected finished sequences in {store.path}, found none; run `boed generate` to its end"
            )
        if len(rows) < len(store.ids):
            click.echo(f"{store.path}: {len(rows)} of {len(store.ids)} sequences are finished", err=True)
        found.append(
            Source(name, kind, store.ids[rows], store.load(rows).locations, store.seconds_per_sequence)
        )
    return found


def unique_names(kinds: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """A name for each store: its source, with the file where that is not enough.

    >>> unique_names(["design", "random", "random"], [Path("a.h5"), Path("b.h5"), Path("c.h5")])
    ['design', 'random (b)', 'random (c)']
    """
    both = list(zip(kinds, paths, strict=True))
    names = [kind if kinds.count(kind) == 1 else f"{kind} ({path.stem})" for kind, path in both]
    names = [
        name if names.count(name) == 1 else f"{kind} ({path})"
        for name, (kind, path) in zip(names, both, strict=True)
    ]
    twice = [path for name, path in zip(names, paths, strict=True) if names.count(name) > 1]
    if twice:
        raise StoreError(f"expected different stores, found {twice[0]} twice; give it once")
    return names


def require_comparable(groups: Sequence[Sequence[Source]]) -> None:
    """Refuses, before anything is trained, what could not be compared in the end; says what is left out."""
    common_names([[source.name for source in sources] for sources in groups])
    for sources in groups:
        ids, _ = common(sources)
        most = max(len(source.ids) for source in sources)
        if len(ids) < most:
            click.echo(f"{len(ids)} images have sequences of all sources, of up to {most}", err=True)


def to_json(found: Sequence[Comparison]) -> dict[str, Any]:
    """One comparison as it is; of several their mean, with each under "by_target"."""
    each = [comparison.to_json() | {"sentence": sentence(comparison)} for comparison in found]
    if len(found) == 1:
        return each[0]
    mean = average(found)
    by_target = {str(one["target"]): one for one in each}
    return mean.to_json() | {"by_target": by_target, "sentence": sentence(mean)}
