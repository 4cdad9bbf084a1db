"""The picture of what the AVP-CNN sees: the pixels that glimpses showed, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from avp_cnn_tiny import COLOUR, posterior, seen
from boed_tiny import random_images
from matplotlib.figure import Figure

import boed.pictures.masked_images
from boed.approximations import Approximations
from boed.pictures.masked_images import MaskedImages, draw_masked_images, masked_images, require_avp_cnn
from data.errors import SettingsError
from data.places import places_at

CORNERS = [[0, 0], [3, 5], [16, 16]]
SPLIT = random_images(4, COLOUR)
PLACES = places_at(torch.tensor(CORNERS), COLOUR.glimpse_size).expand(2, -1, -1)
ROWS = torch.tensor([0, 3])


@pytest.fixture(scope="module")
def found() -> MaskedImages:
    return masked_images(posterior(), SPLIT, ROWS, PLACES)


def test_after_each_glimpse_it_is_the_image_where_any_glimpse_was(found: MaskedImages) -> None:
    pixels = SPLIT.images[ROWS].movedim(-1, 1) / 255
    for t in range(3):
        mask = seen(COLOUR, CORNERS[: t + 1])
        torch.testing.assert_close(found.masks[:, t, 0], mask.expand(2, -1, -1, -1))
        torch.testing.assert_close(found.images[:, t, 0], pixels * mask)


def test_the_class_is_what_q_says_of_the_same_glimpses(found: MaskedImages) -> None:
    q = posterior()
    glimpses = COLOUR.retina()(SPLIT.images, ROWS, PLACES)
    for t in range(1, 4):
        total = q.embed(glimpses[:, :t], COLOUR.centres(PLACES[:, :t])).sum(1)
        torch.testing.assert_close(found.probabilities[:, t - 1], q.logits(total, t).softmax(-1).detach())


def test_what_is_drawn_is_the_masked_image_above_its_mask(
    found: MaskedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    monkeypatch.setattr(boed.pictures.masked_images, "figure_of", lambda *size: figure)
    draw_masked_images(tmp_path / "a.png", posterior(), SPLIT, [0, 3], PLACES, list("abcd"))
    panels = np.array(figure.axes).reshape(4, 4)
    assert [len(axes.patches) for axes in panels[::2, 0]] == [3, 3]  # glimpses on the image
    for number in range(2):
        for t in range(3):
            above, below = (panels[2 * number + row, 1 + t].images[0].get_array() for row in (0, 1))
            assert np.array_equal(np.asarray(above), found.images[number, t, 0].movedim(0, -1))
            assert np.array_equal(np.asarray(below), found.masks[number, t, 0, 0])
            chances = found.probabilities[number, t]
            says = f"{'abcd'[int(chances.argmax())]} {100 * float(chances.max()):.0f} %"
            assert panels[2 * number, 1 + t].get_title() == f"t = {t + 1}: {says}"


def test_another_posterior_sees_no_masked_image(pointer_fit: Approximations) -> None:
    with pytest.raises(SettingsError, match="expected a fit with --posterior avp-cnn, found GlimpseSetPost"):
        require_avp_cnn(pointer_fit.q)
