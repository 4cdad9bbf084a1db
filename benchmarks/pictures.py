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
from boed.search.designer import Designer, History
from data import load
from data.dataset import DataSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN, OUT = Path("runs/pictures"), Path("docs/pictures")
CURVE = Path("hardattn-ps-nogs-0/curve.png")
IMAGE, SHOWN, DPI = 3, 6, 80


@dataclass(frozen=True)
class Step:
    """What is known of one image before it looks once more.

    Attributes:
        looked: (t, 3) places so far.
        average, own, mixed: (L,) maps in nats, infinite where the image has looked.
        chosen: number of the place that is taken next.
        probabilities: (K,) of the classes, by q.
        completions: (SHOWN,) images of the bank that explain the glimpses best, none before the first.
        shares: (SHOWN,) their weights.
    """

    looked: Tensor
    average: Tensor
    own: Tensor
    mixed: Tensor
    chosen: int
    probabilities: Tensor
    completions: Tensor
    shares: Tensor


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--run", type=click.Path(path_type=Path), default=RUN, show_default=True, help="Folder of the fit."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For the pictures."
)
@click.option("--image", default=IMAGE, show_default=True, help="Row of the design split.")
def main(run: Path, out: Path, image: int) -> None:
    """Draws the pictures of the concepts: maps, posterior and completions of one image, step by step.

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
        ("completions", draw_completions(digits, image, designer, steps)),
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
        weights = history.belief.weights(history.total)  # type: ignore[attr-defined]
        shares, completions = weights[0].exp().topk(SHOWN)
    else:
        labels = learned.bank.labels
        probabilities = torch.bincount(labels).double() / len(labels)
        shares, completions = torch.empty(0), torch.empty(0, dtype=torch.int64)
    looked = learned.places[history.chosen[0]]
    return Step(looked, average, own, mixed, chosen, probabilities, completions, shares)


def draw_maps(digits: DataSet, image: int, designer: Designer, steps: list[Step]) -> Figure:
    """One row a step: the image with its glimpses, the average map, its own map, and both mixed."""
    pixels, places, rows = digits["design"].images[image], designer.learned.places, steps[:-1]
    side = digits.geometry.glimpse_size
    figure = Figure(figsize=(7.2, 1.75 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    for t, (step, axes) in enumerate(zip(rows, grid, strict=True)):
        _image(axes[0], pixels)
        _glimpses(axes[0], step.looked, side)
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
        _image(grid[0, t], _seen(pixels, step.looked))
        grid[0, t].set_title(f"t = {t}", fontsize=8)
        colours = ["tab:green" if k == label else "tab:grey" for k in range(len(digits.classes))]
        grid[1, t].bar(digits.classes, step.probabilities.tolist(), color=colours)
        grid[1, t].tick_params(labelsize=6)
        grid[1, t].set_ylim(0, 1)
    return figure


def draw_completions(digits: DataSet, image: int, designer: Designer, steps: list[Step]) -> Figure:
    """One row after each glimpse: what has been seen, and the images of the bank that explain it best."""
    rows, side = steps[1:], digits.geometry.glimpse_size
    pixels, bank = digits["design"].images[image], designer.learned.bank
    figure = Figure(figsize=(1.1 * (SHOWN + 1), 1.25 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), SHOWN + 1, squeeze=False)
    for step, axes in zip(rows, grid, strict=True):
        _image(axes[0], _seen(pixels, step.looked))
        axes[0].set_title("seen", fontsize=7)
        for its, number, share in zip(axes[1:], step.completions, step.shares, strict=True):
            _image(its, bank.images[number])
            _glimpses(its, step.looked, side, numbered=False)
            its.set_title(f"{digits.classes[bank.labels[number]]}: {100 * share:.1f} %", fontsize=7)
    return figure


def _seen(pixels: Tensor, looked: Tensor) -> Tensor:
    """The image with mid-grey where no glimpse fell."""
    shown = pixels * 0 + 96
    for row, col, side in looked.tolist():
        shown[row : row + side, col : col + side] = pixels[row : row + side, col : col + side]
    return shown


def _image(axes: Axes, pixels: Tensor) -> None:
    axes.imshow(pixels.squeeze().numpy(), cmap="gray", vmin=0, vmax=255)
    axes.axis("off")


def _glimpses(axes: Axes, looked: Tensor, side: int, *, numbered: bool = True) -> None:
    from matplotlib.patches import Rectangle

    for number, (row, col, _) in enumerate(looked.tolist(), start=1):
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), side, side, fill=False, edgecolor="lime"))
        if numbered:
            axes.text(col + side / 2, row + side / 2, str(number), color="yellow", fontsize=7, ha="center")


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
