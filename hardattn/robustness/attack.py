"""Images that are changed against a network: projected gradient descent on the pixels.

Shapes: B images, H and W their sides, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data.averaging import averages
from data.corruption_names import SEVERITIES
from data.corruptions import draws_of, with_images
from data.dataset import Split
from data.errors import SettingsError
from hardattn.baselines.layers import Baseline
from hardattn.baselines.training import seen_geometry
from hardattn.loading import TrainedNetwork
from hardattn.model.rollout import explore
from hardattn.objectives.registry import METHODS

AT_ONCE = 50  # images that are attacked together
LEVELS = 255
STRIDE = 2.5  # times epsilon, in all steps together
Predict = Callable[[Tensor], Tensor]
"""Pixels (B, H, W, C), floats in grey levels -> logits (B, K), through which a gradient flows back."""


def attacked(
    run: TrainedNetwork, split: Split, severity: int, seed: int = 0, *, epsilon: int, steps: int
) -> Split:
    r"""The same split with images that are changed such that the network errs, in whole grey levels.

    $x_{i+1} = \Pi(x_i + \alpha \, \mathrm{sign} \nabla_x \mathrm{CE}(x_i)), \quad
    \alpha = 2.5 \, \epsilon' / \mathrm{steps}$

    of the cross-entropy after the last glimpse; the projection keeps every pixel within eps' of the image
    and between black and white. x_0 is uniform in there, by the seed and the id of the image (Madry et al.
    2018, arXiv 1706.06083). The network looks anew in every step. Places that it chooses on a grid have no
    derivative: the gradient goes through what is seen there; and through the places too, where these
    are learned by it. Squares that are wider than a glimpse are averaged as `data.crop.crops` does.

    Args:
        run: of any method or baseline.
        severity: 1 to 5, how many fifths of epsilon are eps', in whole grey levels, one at least.
        epsilon: of 255.
        steps: of the descent; the last x counts.

    Raises:
        SettingsError: no such severity, an epsilon below 1 or above 255, or a number of steps below 1.
    """
    if not 0 <= severity <= SEVERITIES:
        raise SettingsError(f"expected a severity from 0 to {SEVERITIES}, found {severity}; change it")
    require_attack(epsilon, steps)
    if severity == 0:
        return split
    most = max(1, round(epsilon * severity / SEVERITIES))
    predict, device = predictor(run, seed), run.network.device
    changed = []
    for rows in torch.arange(len(split), device=split.images.device).split(AT_ONCE):
        images = split.images[rows].to(device).float()
        start = images + most * _uniform(images, split.ids[rows], seed)
        found = descended(predict, start, images, split.labels[rows].to(device), most, steps)
        changed.append(found.round().to(torch.uint8).to(split.images.device))
    return with_images(split, torch.cat(changed), f"pgd {most} {steps} {seed}")


def require_attack(epsilon: int, steps: int) -> None:
    """Raises SettingsError for an epsilon that is no step between grey levels, or no step of descent."""
    for name, found in (("epsilon", epsilon), ("steps", steps)):
        if found < 1:
            raise SettingsError(f"expected --{name} of at least 1, found {found}; change it")
    if epsilon > LEVELS:
        raise SettingsError(f"expected --epsilon of at most {LEVELS}, found {epsilon}; change it")


def descended(
    predict: Predict, start: Tensor, images: Tensor, labels: Tensor, most: int, steps: int
) -> Tensor:
    """(B, H, W, C) floats within `most` grey levels of images, after so many steps from `start`."""
    low, high = (images - most).clamp(min=0), (images + most).clamp(max=255)
    pixels = start.clamp(low, high)
    for _ in range(steps):
        pixels.requires_grad_()
        loss = cross_entropy(predict(pixels).float(), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, pixels)
        pixels = (pixels.detach() + STRIDE * most / steps * slope.sign()).clamp(low, high)
    return pixels


def predictor(run: TrainedNetwork, seed: int = 0) -> Predict:
    """The last prediction of a network, by pixels that may be any floats.

    Args:
        seed: of places that no network chooses.
    """
    if isinstance(run.network, Baseline):
        network, seen = run.whole_image()[0], seen_geometry(run.whole_image()[1])
        return lambda pixels: network(averages(pixels, seen.height).permute(0, 3, 1, 2) / 255)
    return partial(_glimpsed, run, seed)


def _glimpsed(run: TrainedNetwork, seed: int, pixels: Tensor) -> Tensor:
    network, settings = run.glimpsing()
    geometry, retina = settings.geometry, settings.geometry.retina()
    generator = torch.Generator(pixels.device).manual_seed(seed)

    def look(index: Tensor, places: Tensor) -> Tensor:
        return retina(pixels, index, places.float())  # interpolated: the pixels get a gradient

    rollout = explore(
        network,
        look,
        torch.arange(len(pixels), device=pixels.device),
        geometry.grid(),
        settings.glimpses,
        mode=METHODS[settings.method].evaluation,
        generator=generator,
    )
    return rollout.logits[:, -1]


def _uniform(images: Tensor, ids: Tensor, seed: int) -> Tensor:
    """(B, H, W, C) in [-1, 1), of each image by its id."""
    draws = [torch.rand(images.shape[1:], generator=draw) for draw in draws_of(ids, seed)]
    return 2 * torch.stack(draws).to(images) - 1
