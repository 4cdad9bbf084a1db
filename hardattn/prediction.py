"""Prediction that really stops: an image is looked at until its rule says so, and then leaves the batch.

Shapes: N images, T glimpses, K classes, W width of the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.dataset import Split
from data.device import one_thread
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.places import whole_image
from data.pool import ImagePool
from data.readout import read_by_image
from hardattn.baselines.training import read_at_exits, seen_geometry
from hardattn.images import Images, batch_of
from hardattn.loading import TrainedNetwork
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.stopping.online import Walker
from hardattn.stopping.registry import RULES
from hardattn.stopping.rules import Stops
from hardattn.stopping.stop import Fixed, Stop
from hardattn.training.settings import RunSettings

NOWHERE = -1
"""Row, column and side of a glimpse that was not taken, among the places of `Answers`."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says of N images.

    Attributes:
        labels: (N,) the likeliest class, by number.
        classes: names of the K classes.
        probabilities: (N, K) of the classes.
        places: (N, T, 3) of the glimpses, see `data.places`; `NOWHERE` after the last one that was taken.
        taken: (N,) glimpses, 1 to T.
        geometry: of the glimpses.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    places: np.ndarray
    taken: np.ndarray
    geometry: Geometry = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> list[str]:
        """Of the likeliest class of each image."""
        return [self.classes[label] for label in self.labels]

    @cached_property
    def pixels(self) -> np.ndarray:
        """(N,) inside any glimpse that was taken."""
        return self.read["pixels"]

    @cached_property
    def read(self) -> dict[str, np.ndarray]:
        """(N,) what all glimpses that were taken read, by each sensor, see `data.readout.read_by_image`."""
        places, last = torch.from_numpy(self.places).clamp(min=0), torch.from_numpy(self.taken)[:, None] - 1
        counts = read_by_image(places, self.geometry)
        return {name: each.gather(1, last).squeeze(1).numpy() for name, each in counts.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Of each image the likeliest class, how likely all are, and where it was looked."""
        for number, label in enumerate(self.labels):
            chances, taken = self.probabilities[number], int(self.taken[number])
            yield {
                "label": self.classes[label],
                "probability": float(chances[label]),
                "glimpses": taken,
                **{name: int(counts[number]) for name, counts in self.read.items()},
                "probabilities": dict(zip(self.classes, chances.tolist(), strict=True)),
                "places": self.places[number, :taken].tolist(),
            }


def predict(run: TrainedNetwork, images: Images, stop: Stop | None = None) -> Answers:
    """Looks at images until a rule says stop.

    The answers are those of `hardattn.stopping.curve` at the same rule and threshold, where every image is
    looked at T times first; here no pixel is read but those of the glimpses that are taken. A baseline sees
    the whole image, at once.

    Args:
        run: the network.
        images: see `hardattn.images.batch_of`: arrays, paths or a list of them, which are brought to the size
            of the network's task.
        stop: when; None: after T glimpses.

    Raises:
        DataError: what is given is no image.
        SettingsError: more glimpses than T, a rule that the network has no head for, or a baseline's rule.
    """
    if not isinstance(stop, Stop | None):
        raise SettingsError(f"expected a stopping rule such as hardattn.Gain(0.02), found {stop!r}")
    batch = batch_of(images, run.settings.geometry)
    if isinstance(run.network, HardAttention):
        return _glimpsed(run, batch, stop)
    if stop is not None:
        raise SettingsError(f"expected no stopping rule for the baseline {run.method}, found {stop}")
    with evaluating(run.network):
        return _whole(run, batch)


def _whole(run: TrainedNetwork, images: Tensor) -> Answers:
    network, settings = run.whole_image()
    log_probs = read_at_exits(network, _unlabelled(images), settings)[:, -1].float().log_softmax(-1)
    image = whole_image(settings.geometry.image_size).expand(len(images), 1, 3)
    whole = replace(settings.geometry, glimpse_size=seen_geometry(settings).glimpse_size)
    return _answers(settings, Stops(torch.ones(len(images), dtype=torch.int64), log_probs), image, whole)


@torch.no_grad()
def _glimpsed(run: TrainedNetwork, images: Tensor, stop: Stop | None) -> Answers:
    network, settings = run.glimpsing()
    steps, geometry = settings.glimpses, settings.geometry
    stop = stop or Fixed(steps)
    stop.require_within(steps)
    mode = METHODS[settings.method].evaluation
    with evaluating(network), one_thread():
        look = look_of(ImagePool([_unlabelled(images)]), geometry.known_retina(), network.device)
        walker = Walker(network, look, len(images), geometry.grid(), steps, mode, settings.seed)
        stops = walker.until(RULES[stop.rule], stop.threshold)
    return _answers(settings, stops, walker.locations.cpu(), geometry)


def _answers(settings: RunSettings, stops: Stops, places: Tensor, geometry: Geometry) -> Answers:
    """What is said where images stopped, at places (N, T, 3)."""
    if bool(stops.log_probs.isnan().any()):
        raise CheckpointError(
            "expected probabilities, found none: the weights of the network are too large; train it again"
        )
    later = torch.arange(places.shape[1]) >= stops.taken[:, None]
    return Answers(
        labels=stops.log_probs.argmax(1).numpy(),
        classes=settings.classes,
        probabilities=stops.log_probs.exp().float().numpy(),
        places=places.masked_fill(later[..., None], NOWHERE).numpy(),
        taken=stops.taken.numpy(),
        geometry=geometry,
    )


def _unlabelled(images: Tensor) -> Split:
    """Images (N, H, W, C) as a split; its labels mean nothing."""
    number = torch.arange(len(images))
    return Split(images, torch.zeros_like(number), number, "")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; afterwards it and the generators of torch are as before."""
    before = network.training
    network.eval()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        network.train(before)
