"""Whether adapting could pay: `python -m benchmarks.adapting RUN`, for a finished `boed fit`.

Images have all looked along the fixed greedy order; for the next glimpse there are six rules. The fixed
order knows nothing of an image. An image's own map is what the design has. Neighbours are bank images of
which q believes the same, and the mean of what is realised at each place of these: completion in the space
of q's beliefs instead of pixels. Whoever had seen the whole image could retrieve by all of its pixels, and
whoever knew the label take the place that is best for its class: no history knows as much. The oracle takes
each image's own best place; what it is ahead by is mostly what cannot be foreseen, for q errs at every place
in another way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from boed.approximations import Approximations
from boed.cli.calibration import UNSEEN, opened
from boed.estimators.bank import Bank
from boed.part_files import folder_in
from boed.search.designer import Designer, History
from boed.search.levels import standard_error
from boed.search.prediction import embedded
from boed.search.shrinkage import shrunk
from data.errors import GlimpseError, SettingsError

NEIGHBOURS, COARSE = 50, 8  # COARSE x COARSE cells of an image
SHARES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # of a rule's map; the rest is the average map


class Rule(NamedTuple):
    """What a rule is ahead of the fixed order by.

    Attributes:
        share: of its map, chosen on the bank.
        gain: nats on average over the images.
        error: standard error of that.
    """

    share: float
    gain: float
    error: float


class Known(NamedTuple):
    """What is known and comes true of M images before a glimpse.

    Attributes:
        realised: (M, L) cross-entropy after a glimpse at each place, infinite where was looked.
        beliefs: (M, K) log q before it.
        labels: (M,).
        pixels: (M, P) of the whole images, coarse, each less its mean and over its deviation.
    """

    realised: Tensor
    beliefs: Tensor
    labels: Tensor
    pixels: Tensor


def by_belief(of: Known, bank: Known, same: bool) -> Tensor:
    """(M, L) means of what is realised of the bank images with the nearest log q, in mean square.

    Args:
        of: the images.
        bank: among which neighbours are.
        same: whether the images are the bank itself: each is left out of its own neighbours.
    """
    return _mean_of_nearest(of.beliefs, bank.beliefs, bank.realised, same)


def by_pixels(of: Known, bank: Known, same: bool) -> Tensor:
    """(M, L) the same of the bank images with the nearest pixels; arguments as above."""
    return _mean_of_nearest(of.pixels, bank.pixels, bank.realised, same)


def _mean_of_nearest(of: Tensor, bank: Tensor, realised: Tensor, same: bool) -> Tensor:
    distances = torch.cdist(of, bank)
    if same:
        distances.fill_diagonal_(torch.inf)
    nearest = distances.topk(min(NEIGHBOURS, len(bank) - 1), largest=False).indices  # (M, N)
    return torch.stack([realised[rows].mean(0) for rows in nearest])


def by_class(of: Known, bank: Known, same: bool) -> Tensor:
    """(M, L) means of what is realised of the bank images with the same label; arguments as above."""
    classes = int(bank.labels.max()) + 1
    sums = bank.realised.new_zeros(classes, bank.realised.shape[1]).index_add(0, bank.labels, bank.realised)
    counts = bank.labels.bincount(minlength=classes)
    own = of.realised if same else 0
    others = (counts[of.labels] - int(same)).clamp(min=1)[:, None]
    return (sums[of.labels] - own) / others


def share_of(maps: Tensor, average: Tensor, realised: Tensor) -> float:
    """The share of a rule's maps (M, L), mixed with the average (L,), that chooses best on the bank."""
    losses = [float(at_best(shrunk(average.expand_as(maps), maps, w), realised).mean()) for w in SHARES]
    return SHARES[losses.index(min(losses))]


def at_best(maps: Tensor, realised: Tensor) -> Tensor:
    """(M,) what is realised at the smallest value of each map."""
    return realised.gather(1, maps.argmin(1, keepdim=True)).squeeze(1)


def compared(of: Known, bank: Known, own: Tensor, weight: float) -> dict[str, Rule | float]:
    """What is realised by the fixed order, and by how much each rule is ahead of it.

    Args:
        of, bank: unseen images, and those of the bank.
        own: (M, L) maps of the design's own estimator of the unseen images.
        weight: that the fit gives them.
    """
    average = bank.realised.mean(0)
    fixed = at_best(average.expand_as(of.realised), of.realised)

    def rule(share: float, maps: Tensor) -> Rule:
        ahead = fixed - at_best(shrunk(average.expand_as(maps), maps, share), of.realised)
        return Rule(share, float(ahead.mean()), standard_error(ahead))

    def learned(maps: Callable[[Known, Known, bool], Tensor]) -> Rule:
        share = share_of(maps(bank, bank, True), average, bank.realised)
        return rule(share, maps(of, bank, False))

    return {
        "fixed order": float(fixed.mean()),
        "own map": rule(weight, own),
        "neighbours": learned(by_belief),
        "image seen": learned(by_pixels),
        "label known": learned(by_class),
        "oracle": rule(1.0, of.realised),
    }


def require_comparable(fitted: Approximations) -> None:
    """Raises SettingsError for a fit whose rules cannot be compared."""
    if fitted.glimpses < 2:
        raise SettingsError("expected a fit of at least 2 glimpses, found 1; the first adapts to nothing")
    if fitted.combination.exact:
        raise SettingsError(
            "expected a q that was learned, found an exact one, whose map is the best there is"
        )
    if fitted.combination.score != "cross-entropy":
        raise SettingsError(
            f"expected maps of the cross-entropy, which is what is realised, found those of "
            f"{fitted.combination.score}; fit with --score cross-entropy"
        )


@torch.no_grad()
def looked_along(fitted: Approximations, unseen: Bank) -> Iterator[dict[str, Rule | float]]:
    """The rules for glimpse 2, 3, .., T of unseen images: before the first all images are alike."""
    designer, seed = Designer(fitted), fitted.settings.seed
    histories = [
        (History(designer, part.split, torch.arange(len(part)), seed=seed), part)
        for part in (unseen, designer.bank)
    ]
    for step in range(fitted.glimpses):
        if step:
            of, bank = (known(history, part) for history, part in histories)
            yield compared(of, bank, histories[0][0].own_map(), fitted.weights[step])
        for history, _ in histories:
            history.look(history.choose(0.0)[0])


def known(history: History, part: Bank) -> Known:
    """Of the images of a history."""
    realised = part.scores_after(history.rows, history.total, history.count + 1, "cross-entropy").double()
    logits = history.designer.q.logits(history.total.clone(), history.count)
    realised.masked_fill_(history.seen, torch.inf)
    return Known(realised, logits.log_softmax(-1), part.labels, coarse_pixels(part.split.images))


def coarse_pixels(images: Tensor) -> Tensor:
    """(M, P) of images (M, H, W, C): means over cells, less the image's mean and over its deviation.

    >>> coarse_pixels(torch.arange(64).byte().view(1, 8, 8, 1)).shape
    torch.Size([1, 64])
    """
    cells = [adaptive_avg_pool2d(image.movedim(2, 0).double(), COARSE).flatten() for image in images]
    pixels = torch.stack(cells)
    return (pixels - pixels.mean(1, keepdim=True)) / pixels.std(1, keepdim=True).clamp(min=1e-6)


def cell(found: Rule | float) -> str:
    """Nats, for a table.

    >>> cell(1.25), cell(Rule(0.2, 0.031, 0.01))
    ('1.250', '+0.031 (0.010) at 0.2')
    """
    if isinstance(found, Rule):
        return f"{found.gain:+.3f} ({found.error:.3f}) at {found.share:g}"
    return f"{found:.3f}"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--split", type=click.Choice(UNSEEN), default=UNSEEN[0], show_default=True, help="Whose images."
)
@click.option("--images", type=click.IntRange(min=2), default=1000, show_default=True, help="At most.")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder of the images.")
def main(run: Path, split: str, images: int, data_root: Path | None) -> None:
    """What the fixed order realises at each glimpse, and what other rules gain on it, in nats.

    With the standard error over images, and the share of the rule's map in what is minimised.

    \b
    Examples:
      python -m benchmarks.adapting runs/digits
      python -m benchmarks.adapting runs/birds --split design --data-root DIR
    """
    try:
        fitted, part = opened(folder_in(run), split, data_root, "cpu")
        require_comparable(fitted)
        rows = list(looked_along(fitted, embedded(fitted, part, images)))
    except GlimpseError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    click.echo("| t | " + " | ".join(rows[0]) + " |\n" + "| --- " * (len(rows[0]) + 1) + "|")
    for step, row in enumerate(rows, 2):
        click.echo(f"| {step} | " + " | ".join(map(cell, row.values())) + " |")


if __name__ == "__main__":
    main()
