"""Heat maps of where networks look: the share of test images that attend each pixel, glimpse by glimpse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.nn.functional import avg_pool2d

from data.attended import attended_share
from data.drawing import share_bar, share_image
from data.geometry import Geometry
from hardattn.report.encoding import LARGEST, decoded, quantised, unpacked
from hardattn.report.panels import BESIDE, extent_of, image_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def heat_of(locations: Tensor, geometry: Geometry) -> list[dict[str, Any]]:
    """For every t the share of images that attend each pixel, and how many places were used.

    Where there are several sides, also the share of images that each was taken at.

    Args:
        locations: (B, T, 3) places.
    """
    maps = []
    for places in locations.unbind(1):
        share = shares(places, geometry)
        size = {"height": share.shape[0], "width": share.shape[1]}
        used = {"places": len(places.unique(dim=0)), "sides": sides_of(places, geometry)}
        maps.append({**size, **used, **quantised(share)})
    return maps


def shares(places: Tensor, geometry: Geometry) -> np.ndarray:
    """(h, w) share of the images that attend each pixel with the glimpse at places (B, 3).

    See `data.attended.attended_share`. Of images larger than an embedded picture it is the mean over cells.

    >>> import torch
    >>> shares(torch.tensor([[0, 0, 2]] * 3 + [[1, 1, 2]]), Geometry(3, 3, 1, glimpse_size=2)).tolist()
    [[0.75, 0.75, 0.0], [0.75, 1.0, 0.25], [0.0, 0.25, 0.25]]
    """
    share = attended_share(places.cpu(), geometry.image_size)
    cell = math.ceil(max(geometry.image_size) / LARGEST)
    return avg_pool2d(share[None], cell, ceil_mode=True, count_include_pad=False)[0].numpy()


def sides_of(places: Tensor, geometry: Geometry) -> dict[str, float]:
    """Side -> share of the images that were looked at (B, 3) so wide; nothing of one side, or of any.

    >>> import torch
    >>> wide = Geometry(8, 8, 1, glimpse_size=4, sides=(4, 8))
    >>> sides_of(torch.tensor([[0, 0, 8], [2, 4, 4], [0, 0, 8], [0, 0, 8]]), wide)
    {'4': 0.25, '8': 0.75}
    """
    sides = () if geometry.affine else geometry.sides
    return {str(side): float((places[:, 2] == side).double().mean()) for side in sides}


def draw_heat(figure: Figure, task: dict[str, Any]) -> None:
    """A row for every run and a column for every t, after the mean image; one colour bar in % for all."""
    runs = [run for run in task["runs"] if run["heat"]]
    panels = image_panels(figure, len(runs), 1 + max(len(run["heat"]) for run in runs))
    most, extent = max(map_["high"] for run in runs for map_ in run["heat"]), extent_of(task)
    for row, run in enumerate(runs):
        panels[row, 0].imshow(decoded(task["mean"]), cmap="gray", vmin=0, vmax=255, extent=extent)
        panels[row, 0].text(-0.06, 0.5, titled(run), transform=panels[row, 0].transAxes, **BESIDE)
        for t, map_ in enumerate(run["heat"]):
            share = unpacked(map_, (map_["height"], map_["width"]))
            drawn = share_image(panels[row, 1 + t], share, most, extent=extent)
            panels[row, 1 + t].set_title(f"t = {t + 1}" if row == 0 else "", fontsize=8)
    panels[0, 0].set_title("mean image", fontsize=8)
    share_bar(figure, drawn, panels.flatten().tolist(), "of test images attend the pixel, %")


def titled(run: dict[str, Any]) -> str:
    """The name of a run, and whether it imitates sequences.

    >>> titled({"label": "ps-nogs-0", "supervised_images": 600})
    'ps-nogs-0\\n600 supervised'
    >>> titled({"label": "ram-0", "supervised_images": 0})
    'ram-0\\nno supervision'
    """
    count = run["supervised_images"]
    return f"{run['label']}\n{f'{count} supervised' if count else 'no supervision'}"
