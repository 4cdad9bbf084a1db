"""The pictures of the documentation, drawn from a fit of the digits: `python -m benchmarks.pictures`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import torch
from matplotlib.figure import Figure
from torch import Tensor

from boed.fitting.fit import fit
from boed.pictures.glimpses import draw_image, draw_squares, only_seen
from boed.search.designer import Designer, History
from data import load
from data.dataset import DataSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN, OUT = Path("runs/pictures"), Path("docs/pictures")
CURVE = Path("hardattn-ps-nogs-0/curve.png")
IMAGE, DPI = 3, 80


@dataclass(frozen=True)
class Step:
    """What is known of one image before it looks once more.

    Attributes:
        looked: (t, 3) places so far.
        average, own, mixed: (L,) maps in nats, infinite where the image has looked.
        chosen: number of the place that is taken next.
        probabilities: (K,) of the classes, by q.
    """

    looked: Tensor
    average: Tensor
    own: Tensor
    mixed: Tensor
    chosen: int
    probabilities: Tensor


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--run", type=click.Path(path_type=Path), default=RUN, show_default=True, help="Folder of the fit."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For the pictures."
)
@click.option("--image", default=IMAGE, show_default=True, help="Row of the design split.")
def main(run: Path, out: Path, image: int) -> None:
    """Draws the pictures of the concepts: maps and posterior of one image, step by step.

    The fit is made where it is missing, which takes minutes. With a trained and evaluated network beside it,
    its curve of accuracy against compute is taken too.

    \b
    Examples:
      python -m benchmarks.pictures
      boed generate --run runs/pictures
      hardattn train --run runs/pictures --supervise --epochs 60
      hardattn evaluate runs/pictures/hardattn-ps-nogs-0
      python -m benchmarks.pictures
    """
    digits = load("digits")
    designer = Designer(fit(digits, run / "approximations"))
    steps = list(walk(designer, digits, image))
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("maps", draw_maps(digits, image, designer, steps)),
        ("posterior", draw_posterior(digits, image, steps)),
    ):
        figure.savefig(out / f"{name}.png", dpi=DPI)
        click.echo(f"wrote {out / name}.png")
    if (run / CURVE).exists():
        shutil.copyfile(run / CURVE, out / "stopping.png")
        click.echo(f"wrote {out / 'stopping.png'}")


@torch.no_grad()
def walk(designer: Designer, digits: DataSet, image: int) -> Iterator[Step]:
    """The design of one image, glimpse by glimpse, and what is known at its end."""
    learned = designer.learned
    history = History(designer, digits["design"], torch.tensor([image]), seed=0)
    for t in range(learned.glimpses):
        place, mixed = history.choose(learned.weights[t], learned.calibrations[t])
        average, own = history.average_map()[0], history.own_map()[0]
        yield _step(history, average, own, mixed[0], int(place))
        history.look(place)
    yield _step(history, *3 * (torch.empty(0),), -1)


def _step(history: History, average: Tensor, own: Tensor, mixed: Tensor, chosen: int) -> Step:
    learned = history.designer.learned
    if history.count:
        probabilities = history.designer.q.logits(history.total.clone(), history.count)[0].softmax(0)
    else:
        labels = learned.bank.labels
        probabilities = torch.bincount(labels).double() / len(labels)
    looked = learned.places[history.chosen[0]]
    return Step(looked, average, own, mixed, chosen, probabilities)


def draw_maps(digits: DataSet, image: int, designer: Designer, steps: list[Step]) -> Figure:
    """One row a step: the image with its glimpses, the average map, its own map, and both mixed."""
    pixels, places, rows = digits["design"].images[image], designer.learned.places, steps[:-1]
    side = digits.geometry.glimpse_size
    figure = Figure(figsize=(7.2, 1.75 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for t, (step, axes) in enumerate(zip(rows, grid, strict=True)):
        draw_image(axes[0], pixels.numpy())
        draw_squares(axes[0], step.looked, digits.geometry)
        axes[0].set_title(f"after {t} glimpses" if t != 1 else "after 1 glimpse", fontsize=8)
        weight = designer.learned.weights[t]
        titles = ("average map", "own map", f"what is minimised (weight {weight:g})")
        for map_axes, values, title in zip(
            axes[1:], (step.average, step.own, step.mixed), titles, strict=True
        ):
            _map(map_axes, pixels, values, places, side)
            map_axes.set_title(title, fontsize=8)
        row, col = (places[step.chosen, :2] + side / 2 - 0.5).tolist()
        axes[3].plot(col, row, "r+", markersize=9)
    return figure


def draw_posterior(digits: DataSet, image: int, steps: list[Step]) -> Figure:
    """One column a step: what has been seen of the image, and q's probabilities of the classes."""
    split = digits["design"]
    pixels, label = split.images[image], int(split.labels[image])
    figure = Figure(figsize=(1.5 * len(steps), 3), layout="constrained")
    grid = figure.subplots(2, len(steps), squeeze=False, sharey="row")
    for t, step in enumerate(steps):
        draw_image(grid[0, t], only_seen(pixels, step.looked).numpy())
        grid[0, t].set_title(f"t = {t}", fontsize=8)
        colours = ["tab:green" if k == label else "tab:grey" for k in range(len(digits.classes))]
        grid[1, t].bar(digits.classes, step.probabilities.tolist(), color=colours)
        grid[1, t].tick_params(labelsize=6)
        grid[1, t].set_ylim(0, 1)
    return figure


def _map(axes: Axes, pixels: Tensor, values: Tensor, places: Tensor, side: int) -> None:
    """The places, bright where the value is small."""
    axes.imshow(pixels.squeeze().numpy(), cmap="gray", vmin=0, vmax=255, alpha=0.35)
    rows, cols = (places[:, :2] + side / 2 - 0.5).T
    kept = values.isfinite()
    dots = axes.scatter(
        cols[kept], rows[kept], c=values[kept], cmap="viridis_r", s=18, marker="s", linewidths=0
    )
    axes.figure.colorbar(dots, ax=axes, fraction=0.046).ax.tick_params(labelsize=6)
    axes.axis("off")


if __name__ == "__main__":
    main()
