"""What the picture of a store shows: maps of what is gained, in nats, and the sensor's values below."""

from dataclasses import replace
from pathlib import Path

import matplotlib.collections
import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, pointer_dataset
from matplotlib.figure import Figure

import boed.pictures.sequences
from boed.approximations import Approximations
from boed.designs import Designs, design
from boed.pictures.of_store import of_all
from data.errors import SettingsError

DESIGN = pointer_dataset()["design"]


@pytest.fixture(scope="module")
def designs(pointer_fit: Approximations) -> Designs:
    return design(pointer_fit, DESIGN, images=2)


@pytest.fixture
def figure(designs: Designs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The picture of these designs: panels (4, 4), from the upper left."""
    figure = Figure(figsize=(9, 7))
    monkeypatch.setattr(boed.pictures.sequences, "figure_of", lambda *size: figure)
    ids = designs.ids.tolist()
    boed.pictures.sequences.draw_sequences(
        tmp_path / "s.png", DESIGN, ids, designs.sequences, designs.candidates, GEOMETRY
    )
    assert (tmp_path / "s.png").stat().st_size > 0
    return figure


def test_maps_are_entropy_before_less_expected_entropy(designs: Designs, figure: Figure) -> None:
    for image in range(2):
        for step, axes in enumerate(figure.axes[8 * image + 1 : 8 * image + 4]):
            (dots,) = (
                each for each in axes.collections if isinstance(each, matplotlib.collections.PathCollection)
            )
            scores, before = designs.epe_map[image, step], designs.entropy[image, step]
            drawn = np.asarray(dots.get_array())
            assert np.sort(drawn) == pytest.approx(np.sort((before - scores[scores.isfinite()]).numpy()))
            col, row = np.asarray(dots.get_offsets())[drawn.argmax()]
            assert [row, col] == [each + 1.5 for each in designs.places[image, step, :2].tolist()]
            epe = designs.epe[image, step]
            assert axes.get_title().endswith(f"H {before:.2f}, EPE {epe:.2f}, gain {float(before - epe):.2f}")


@pytest.mark.parametrize("source", ["design", "fixed-order"])
def test_what_all_images_share_gains_on_average(
    pointer_fit: Approximations, tmp_path: Path, source: str
) -> None:
    """A fixed order has one map for all images: the entropy before it is theirs on average too."""
    store = design(pointer_fit, DESIGN, source=source).save(tmp_path / "s.h5")
    own = store.load(torch.arange(2))
    found = of_all(own, store)
    mean = store.load().entropy.mean(0)
    assert torch.equal(found.entropy, own.entropy) == (source == "design")
    if source == "fixed-order":
        torch.testing.assert_close(found.entropy, torch.stack([mean, mean]))
    assert torch.equal(found.epe_map, own.epe_map)


def test_below_each_map_is_what_the_sensor_sees_there(designs: Designs, figure: Figure) -> None:
    rows = torch.searchsorted(DESIGN.ids, designs.ids)
    seen = GEOMETRY.retina()(DESIGN.images, rows, designs.places)[:, :, 0]
    for image in range(2):
        drawn = [axes.images[0].get_array() for axes in figure.axes[8 * image + 5 : 8 * image + 8]]
        assert np.array_equal(np.stack([np.asarray(each) for each in drawn]), seen[image].numpy())


def test_an_image_of_another_split_is_refused(designs: Designs, tmp_path: Path) -> None:
    arguments = (designs.sequences, designs.candidates, GEOMETRY)
    with pytest.raises(SettingsError, match="expected an image of the design split, found id 99"):
        boed.pictures.sequences.draw_sequences(tmp_path / "s.png", DESIGN, [99, 1], *arguments)


def test_scores_without_an_entropy_are_drawn_as_they_are(designs: Designs, tmp_path: Path) -> None:
    """As those of saliency, which no entropy belongs to."""
    own = replace(designs.sequences, entropy=torch.full_like(designs.sequences.entropy, torch.nan))
    path, ids = tmp_path / "s.png", designs.ids.tolist()
    boed.pictures.sequences.draw_sequences(path, DESIGN, ids, own, designs.candidates, GEOMETRY)
    assert path.stat().st_size > 0
