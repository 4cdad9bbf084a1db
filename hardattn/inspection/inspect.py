"""Inspection of a trained localiser: one call says what its gradient is worth, over many images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch

from data.dataset import DataSet, Split
from data.device import at_home, one_thread
from data.errors import SettingsError
from data.pool import ImagePool
from data.progress import progress
from hardattn.inspection.choices import BATCHES, FEWEST_BATCHES, FEWEST_VALUES, GLIMPSE, IMAGES, VALUES
from hardattn.inspection.curves import Curve
from hardattn.inspection.gradients import Spread, localiser_gradients
from hardattn.inspection.sweeps import AXES, Sweep, SweptImage
from hardattn.loading import TrainedNetwork, open_network, open_trained
from hardattn.model.localisers import Localiser
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.model.rollout import walk
from hardattn.report.contents import rows_of
from hardattn.report.encoding import without_nan
from hardattn.training.run_folder import require_seed
from hardattn.training.settings import NetworkSettings


@dataclass(frozen=True)
class Inspection:
    """What the gradient to a localiser is worth.

    Attributes:
        run: its folder.
        encoder, policy: the backbone and the localiser of the network.
        glimpse: that was moved, 2 to T.
        images, values, batches, batch_size: how many of each.
        sign_changes: s, x, y -> of the derivative along a sweep, the mean over images.
        agreement: s, x, y -> share of values at which the derivative has the sign of the finite difference.
        gradient_variance: of the localiser's gradient over batches, summed over its parameters.
        relative_variance: in units of the squared mean gradient.
        image: id of the image whose sweeps are kept.
        sweeps: s, x, y -> that of this image.
    """

    run: str
    encoder: str
    policy: str
    glimpse: int
    images: int
    values: int
    batches: int
    batch_size: int
    sign_changes: Mapping[str, float]
    agreement: Mapping[str, float]
    gradient_variance: float
    relative_variance: float
    image: int
    sweeps: Mapping[str, Sweep]

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; what is not a number is null."""
        kept = {axis: sweep.to_json() for axis, sweep in self.sweeps.items()}
        return without_nan({each.name: getattr(self, each.name) for each in fields(self)} | {"sweeps": kept})


def inspect_run(
    run_folder: Path,
    *,
    image: int | None = None,
    glimpse: int = GLIMPSE,
    values: int = VALUES,
    images: int = IMAGES,
    batches: int = BATCHES,
    seed: int = 0,
    dataset: DataSet | None = None,
    device: str = "auto",
) -> Inspection:
    """Sweeps s, x and y of one glimpse of test images, the other glimpses held; nothing is written.

    The gradients over batches are those of training images.

    Args:
        run_folder: of `hardattn train --method multiglimpse`.
        image: id of the test image whose sweeps are kept; None: the first of those that are swept.
        glimpse: 2 to T; the first is the whole image, which no network chose.
        values: of each sweep.
        images: test images that are swept, a fixed sample.
        batches: of training images, as large as in training.
        seed: of these batches.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        SettingsError: a run of another method, no such glimpse, image or seed, or too few of something.
        CheckpointError: weights are missing, damaged or of another task.
    """
    require_seed(seed)
    run = open_trained(run_folder, dataset=dataset, device=device)
    network, settings = localising(run, run_folder)
    require_enough(settings.glimpses, glimpse=glimpse, values=values, batches=batches)
    test, train = (at_home(run.dataset[split], network.device) for split in ("test", "train"))
    rows = rows_of(test, images, ()).tolist()
    row = rows[0] if image is None else int(rows_of(test, images, [image]))
    with one_thread():
        swept = partial(sweeps_of, network, settings, test, glimpse=glimpse, count=values)
        each = [swept(number) for number in progress(rows, desc="sweep", unit="image")]
        spread = Spread.of(localiser_gradients(network, train, settings, batches, seed))
        kept = swept(row)
    return Inspection(
        str(run_folder),
        settings.recipe.encoder,
        settings.recipe.policy,
        *(glimpse, len(rows), values, batches, min(settings.recipe.batch_size, len(train))),
        mean_over(each, lambda curve: curve.sign_changes),
        mean_over(each, lambda curve: curve.agreement),
        spread.variance,
        spread.relative,
        int(test.ids[row]),
        kept,
    )


def require_localisers(run_folders: Sequence[Path]) -> None:
    """Raises SettingsError where a run has no localiser, before any other is inspected."""
    for folder in run_folders:
        localising(open_network(folder, device="cpu"), folder)


def localising(run: TrainedNetwork, run_folder: Path) -> tuple[HardAttention, NetworkSettings]:
    """The network of a run and its settings; raises SettingsError where it has no localiser."""
    if not isinstance(run.network, HardAttention) or not isinstance(run.network.policy_head, Localiser):
        raise SettingsError(
            f"expected a run of --method multiglimpse, found one of {run.method} in {run_folder}; its "
            "glimpses have no derivative, choose another run"
        )
    network, settings = run.glimpsing()
    if settings.glimpses < GLIMPSE:
        raise SettingsError(
            f"expected a run of at least {GLIMPSE} glimpses, found {settings.glimpses} in {run_folder}; the "
            "first is the whole image, choose another run"
        )
    return network, settings


def require_enough(glimpses: int, *, glimpse: int, values: int, batches: int) -> None:
    """Raises SettingsError for a glimpse that no network chose, or too few values or batches."""
    if not GLIMPSE <= glimpse <= glimpses:
        raise SettingsError(
            f"expected a glimpse from {GLIMPSE} to {glimpses}, found {glimpse}; change --glimpse"
        )
    for name, least, found in (("values", FEWEST_VALUES, values), ("batches", FEWEST_BATCHES, batches)):
        if found < least:
            raise SettingsError(f"expected at least {least} {name}, found {found}; change --{name}")


def sweeps_of(
    network: HardAttention, settings: NetworkSettings, split: Split, row: int, *, glimpse: int, count: int
) -> dict[str, Sweep]:
    """s, x, y -> the sweep of one glimpse of one image, the network being in evaluation mode.

    Args:
        row: of the image in the split.
        glimpse: 2 to T.
        count: of the values.
    """
    grid, device = settings.geometry.grid(), network.device
    look, index = look_of(ImagePool([split]), settings.geometry.known_retina(), device), torch.tensor([row])
    with torch.no_grad():
        walked = walk(network, look, index.to(device), grid, settings.glimpses, mode="greedy")
    label = split.labels[index.to(split.labels.device)].to(device)
    places = walked.locations[0].float()
    image = SweptImage(
        network, look, settings.geometry, settings.recipe.objective, index.to(device), label, places, glimpse
    )
    return {axis: image.sweep(axis, count) for axis in AXES}


def mean_over(images: Sequence[Mapping[str, Sweep]], figure: Callable[[Curve], float]) -> dict[str, float]:
    """s, x, y -> the mean of a figure of the sweeps of several images, of those that have it."""
    return {
        axis: float(torch.tensor([float(figure(each[axis].curve)) for each in images]).nanmean())
        for axis in AXES
    }
