"""Prediction that really stops: an image is looked at until its rule says so, and then leaves the batch.

Shapes: N images, T glimpses, K classes, W width of the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.dataset import Split
from data.device import one_thread
from data.errors import SettingsError
from data.measures import pixels_by_image
from data.places import whole_image
from data.pool import ImagePool
from hardattn.baselines.training import read_at_exits, seen_geometry
from hardattn.images import Images, batch_of
from hardattn.loading import TrainedNetwork
from hardattn.model.looking import look_of
from hardattn.model.network import HardAttention
from hardattn.objectives.registry import METHODS
from hardattn.stopping.online import Walker
from hardattn.stopping.registry import RULES
from hardattn.stopping.stop import Fixed, Stop

NOWHERE = -1
"""Row, column and side of a glimpse that was not taken, among the places of `Answers`."""


@dataclass(frozen=True)
class Answers:
    """What a network says of N images.

    Attributes:
        labels: (N,) the likeliest class, by number.
        classes: names of the K classes.
        probabilities: (N, K) of the classes.
        places: (N, T, 3) of the glimpses, see `data.places`; `NOWHERE` after the last one that was taken.
        taken: (N,) glimpses, 1 to T.
        pixels: (N,) inside any glimpse that was taken: so many were read.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    probabilities: np.ndarray
    places: np.ndarray
    taken: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> list[str]:
        """Of the likeliest class of each image."""
        return [self.classes[label] for label in self.labels]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Of each image the likeliest class, how likely all are, and where it was looked."""
        for number, label in enumerate(self.labels):
            chances, taken = self.probabilities[number], int(self.taken[number])
            yield {
                "label": self.classes[label],
                "probability": float(chances[label]),
                "glimpses": taken,
                "pixels": int(self.pixels[number]),
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
    batch = batch_of(images, run.settings.geometry)
    if isinstance(run.network, HardAttention):
        return _glimpsed(run, batch, stop)
    if stop is not None:
        raise SettingsError(f"expected no stopping rule for the baseline {run.method}, found {stop}")
    return _whole(run, batch)


def _whole(run: TrainedNetwork, images: Tensor) -> Answers:
    network, settings = run.whole_image()
    logits = read_at_exits(network, _unlabelled(images), settings)[:, -1]
    count, pixels = len(images), seen_geometry(settings).retina().pixels()
    image = whole_image(settings.geometry.image_size).expand(count, 1, 3).numpy()
    ones = np.ones(count, np.int64)
    return _answers(settings.classes, logits.float().log_softmax(-1), image, ones, pixels * ones)


@torch.no_grad()
def _glimpsed(run: TrainedNetwork, images: Tensor, stop: Stop | None) -> Answers:
    network, settings = run.glimpsing()
    steps, geometry = settings.glimpses, settings.geometry
    stop = stop or Fixed(steps)
    if stop.rule == "fixed" and stop.threshold > steps:
        raise SettingsError(f"expected at most the {steps} glimpses of training, found {stop.threshold:g}")
    mode = METHODS[settings.method].evaluation
    with evaluating(network), one_thread():
        look = look_of(ImagePool([_unlabelled(images)]), geometry.retina(), network.device)
        walker = Walker(network, look, len(images), geometry.grid(), steps, mode, settings.seed)
        stops = walker.until(RULES[stop.rule], stop.threshold)
    after, places = torch.arange(steps) >= stops.taken[:, None], walker.locations.cpu()
    pixels = pixels_by_image(places, geometry).gather(1, stops.taken[:, None] - 1).squeeze(1)
    shown = places.masked_fill(after[..., None], NOWHERE).numpy()
    return _answers(settings.classes, stops.log_probs, shown, stops.taken.numpy(), pixels.numpy())


def _answers(
    classes: tuple[str, ...], log_probs: Tensor, places: np.ndarray, taken: np.ndarray, pixels: np.ndarray
) -> Answers:
    labels, probabilities = log_probs.argmax(1).numpy(), log_probs.exp().float().numpy()
    return Answers(labels, classes, probabilities, places, taken, pixels)


def _unlabelled(images: Tensor) -> Split:
    """Images (N, H, W, C) as a split; its labels mean nothing."""
    number = torch.arange(len(images))
    return Split(images, torch.zeros_like(number), number, "")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; afterwards as it was, also after an interrupt."""
    before = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(before)
