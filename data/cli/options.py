"""The options that both command lines share: those that name a task, its sensor and the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich_click import RichOption

from data.class_list import read_classes
from data.device_names import DEVICES, require_device_name
from data.errors import SettingsError
from data.plugins import Registry
from data.registry import DATASETS, load
from data.runs import default_run
from data.side_names import ALL_SIDES
from data.tracking.registry import NONE, TRACKERS

if TYPE_CHECKING:
    from data.dataset import DataSet  # slow to import, and no option needs it

Option = RichOption
PATH: click.ParamType = click.Path(path_type=Path)  # type: ignore[type-arg]

SENSORS = ("patch", "retina")
RETINA_SCALES = 3  # as in most tables of Mnih et al. 2014


class Name(click.ParamType):  # type: ignore[type-arg]
    """A name of a registry; refused as the registry does it, and what it names is not imported."""

    name = "text"

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    @property
    def choices(self) -> tuple[str, ...]:
        """The names that there are."""
        return tuple(self.registry)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        self.registry.require_name(value)
        return value


class TrackerName(Name):
    """A name of a tracker, or none."""

    def __init__(self) -> None:
        super().__init__(TRACKERS)

    @property
    def choices(self) -> tuple[str, ...]:
        return (*super().choices, NONE)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value == NONE else super().convert(value, param, ctx)


class Device(click.ParamType):  # type: ignore[type-arg]
    """A name of a device; whether there is one is asked when it is to compute."""

    name = "text"
    choices = DEVICES

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        require_device_name(value)
        return value


class AtLeast(click.IntRange):
    """A whole number from `least` on, refused as the settings behind the options do it."""

    def __init__(self, least: int) -> None:
        super().__init__(min=least)
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number: int = click.INT.convert(value, param, ctx)
        if number < self.least:
            option = param.opts[0] if param else "a number"
            raise SettingsError(f"expected {option} of at least {self.least}, found {number}; change it")
        return number


class Within(click.FloatRange):
    """A number of a range, which nan is in none of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class FaceWidths(click.ParamType):  # type: ignore[type-arg]
    """Two widths in pixels, apart by a comma; whether they are possible is asked with the canvas."""

    name = "widths"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = [part.strip() for part in value.split(",")]
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise SettingsError(
                f"expected the narrowest and the widest face in pixels, as 56,100; found {value!r}, change "
                "--face-widths"
            )
        return tuple(int(part) for part in parts)


def panel(title: str, *options: RichOption) -> list[click.Parameter]:
    """Options that stand together, under a title, in the help of a command."""
    for option in options:
        option.panel = title
    return list(options)


def device_option() -> RichOption:
    """`--device`, of every command that computes."""
    return Option(["--device"], type=Device(), default="auto", show_default=True, help="auto, cpu or cuda.")


def workers_option() -> RichOption:
    """`--workers`, of every command that trains several networks."""
    return Option(
        ["--workers"],
        type=AtLeast(1),
        default=1,
        show_default=True,
        help="Networks that are trained at a time, each by a process with one thread.",
    )


def tracker_option() -> RichOption:
    """`--tracker`, of every command that learns."""
    return Option(
        ["--tracker"],
        type=TrackerName(),
        metavar="NAME",
        help=f"Keep the curves, the settings and a picture also in one of {', '.join(TRACKERS)}, each an "
        f"extra of this package; {NONE}: in the log alone. [default: {NONE}]",
    )


def json_option() -> RichOption:
    """`--json`, of every command that has figures."""
    return Option(["--json", "as_json"], is_flag=True, help="Print one JSON object and nothing else.")


def data_options(run: str = "Folder of everything a run makes.") -> list[click.Parameter]:
    """The options that name a data set, and the folder of its runs."""
    return panel(
        "Data",
        Option(
            ["--dataset", "name"],
            type=Name(DATASETS),
            default="digits",
            show_default=True,
            help=f"One of {', '.join(DATASETS)}.",
        ),
        Option(["--attribute"], help="What to predict (celebahq; default Male; to fit also A,B,.. or all)."),
        Option(
            ["--scatter"],
            is_flag=True,
            default=None,
            help="Put faces at random places of a canvas, before another photograph, blurred (celebahq).",
        ),
        Option(
            ["--canvas"],
            type=int,
            help="Canvas side in pixels (translated-mnist, cluttered-mnist, --scatter). [default: 60; 128]",
        ),
        Option(
            ["--face-widths"],
            type=FaceWidths(),
            metavar="NARROWEST,WIDEST",
            help="Of scattered faces, in pixels (--scatter). [default: 56,100]",
        ),
        Option(
            ["--region"],
            metavar="all|inner|outer",
            help="Where on the canvas digits lie (translated-mnist, cluttered-mnist). [default: all]",
        ),
        Option(
            ["--placements"],
            type=int,
            help="Of each training digit or face on a canvas (translated-mnist, cluttered-mnist, --scatter). "
            "[default: 1]",
        ),
        Option(
            ["--image-size"],
            type=AtLeast(1),
            help="Side that images are brought to, in pixels (cub, folder). [default: 128]",
        ),
        Option(
            ["--classes"],
            type=PATH,
            metavar="FILE",
            help="Text file of the class folders to take, a name a line (folder). [default: all]",
        ),
        Option(
            ["--data-seed"],
            type=AtLeast(0),
            help="Of places, clutter and splits (digits, finite, translated-mnist, cluttered-mnist, "
            "--scatter). [default: 0]",
        ),
        Option(
            ["--canvas-seed"],
            type=AtLeast(0),
            help="Of places and clutter that no choice has met, in design and test alone (digits, "
            "translated-mnist, cluttered-mnist, --scatter). [default: 0, as --data-seed has them]",
        ),
        Option(["--data-root"], type=PATH, help="Folder of the images, in the official layout."),
        Option(["--run", "run_dir"], type=PATH, help=f"{run} [default: runs/DATASET[-TARGET]]"),
    )


def sensor_options(*more: RichOption) -> list[click.Parameter]:
    """The options that name glimpses: how many, and what the sensor sees of each."""
    return panel(
        "Sensor",
        Option(["--glimpses"], type=AtLeast(1), help="Glimpses per image, T. [default: the data set's]"),
        Option(
            ["--glimpse-size"],
            type=int,
            help="Side of a glimpse in pixels. [default: the data set's, or FILE's]",
        ),
        Option(
            ["--sensor"],
            type=click.Choice(SENSORS),
            help="patch: one square of --glimpse-size pixels a side. retina: --scales squares around one "
            f"centre, {RETINA_SCALES} by default. [default: as --scales]",
        ),
        Option(
            ["--scales"],
            type=int,
            help="Squares of a retina, of 1, 2, 4, .. times --glimpse-size pixels a side, averaged down to "
            "the first. [default: as for --glimpse-size]",
        ),
        *more,
    )


def glance_option() -> RichOption:
    """`--first-glance`."""
    return Option(
        ["--first-glance"],
        is_flag=True,
        default=None,
        help="Let the first of the glimpses be the whole image, averaged down to the size of a glimpse.",
    )


class Sides(click.ParamType):  # type: ignore[type-arg]
    """Sides of squares, apart by commas, or "all" of them."""

    name = "sides"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...] | str:
        parts = [part.strip() for part in value.split(",")]
        if parts == [ALL_SIDES]:
            return ALL_SIDES
        if not all(part.isdecimal() for part in parts):
            raise SettingsError(
                f"expected sides in pixels, as 16,32,64, or {ALL_SIDES}; found {value!r}, change --sides"
            )
        return tuple(int(part) for part in parts)


def sides_option() -> RichOption:
    """`--sides`."""
    return Option(
        ["--sides"],
        type=Sides(),
        metavar="PIXELS,..|all",
        help="Sides of the squares that may be looked at, averaged down to the glimpse; the first is "
        "--glimpse-size. all: 1, 2, 4, .. times the glimpse, and the whole image. [default: the glimpse "
        "alone]",
    )


def sensor_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the geometry that the options name.

    Raises:
        SettingsError: see `scales_of`.

    >>> sensor_of({"glimpse_size": 8, "sensor": "retina"})
    {'glimpse_size': 8, 'scales': 3}
    """
    asked = {
        "glimpse_size": options.get("glimpse_size"),
        "scales": scales_of(options.get("sensor"), options.get("scales")),
        "first_glance": options.get("first_glance"),
        "sides": options.get("sides"),
    }
    return {name: value for name, value in asked.items() if value is not None}


def scales_of(sensor: str | None, scales: int | None) -> int | None:
    """How many scales a sensor has, None where neither says anything.

    Raises:
        SettingsError: a patch of several scales, or a retina of one.

    >>> scales_of("patch", None), scales_of("retina", None), scales_of("retina", 4), scales_of(None, 2)
    (1, 3, 4, 2)
    """
    if sensor == "patch" and scales is not None and scales > 1:
        raise SettingsError(
            f"expected 1 scale with --sensor patch, found {scales}; take retina or leave --scales out"
        )
    if sensor == "retina" and scales == 1:
        raise SettingsError("expected at least 2 scales with --sensor retina, found 1; take patch")
    default = {"patch": 1, "retina": RETINA_SCALES}
    return default.get(sensor or "") if scales is None else scales


LOADED_WITH = {  # option of `data.registry.load` -> parameter of the command
    "attribute": "attribute",
    "scatter": "scatter",
    "canvas": "canvas",
    "face_widths": "face_widths",
    "region": "region",
    "placements": "placements",
    "size": "image_size",
    "classes": "classes",
    "seed": "data_seed",
    "canvas_seed": "canvas_seed",
}


@dataclass(frozen=True)
class Task:
    """A data set that a command opens, and where its runs are.

    Attributes:
        dataset: itself; no split is read yet.
        run: folder of everything that runs make.
        origin: the arguments of `data.registry.load` that open it again.
    """

    dataset: DataSet
    run: Path
    origin: dict[str, Any]


def open_task(options: Mapping[str, Any], *, several: bool = False) -> Task:
    """The task that the options name.

    Args:
        options: see `data_options`; those that are missing are not given.
        several: whether the command takes several attributes.

    Raises:
        SettingsError: several attributes, where the command takes one.
        GlimpseError: see `data.registry.load`.
    """
    asked = {name: options.get(key) for name, key in LOADED_WITH.items()}
    if asked["classes"] is not None:
        asked["classes"] = read_classes(asked["classes"])
    dataset = load(options["name"], options.get("data_root"), **asked)
    if dataset.attributes and not several:
        raise SettingsError(
            f"expected one attribute, found {options['attribute']}; only `boed fit` takes several"
        )
    if dataset.note:
        click.echo(dataset.note, err=True)
    return Task(dataset, options.get("run_dir") or default_run(dataset), dict(dataset.origin or {}))
