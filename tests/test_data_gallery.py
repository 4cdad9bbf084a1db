"""Images of any data set are drawn with what is known of them, and nothing is fitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import pointer_dataset, pointer_split
from cli_tiny import assert_refused, call
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import data.gallery
from data.dataset import DataSet, NamedParts
from data.errors import SettingsError
from data.gallery import draw_sample, sample_of
from data.registry import load
from data.sample import choose_images

BOX = torch.tensor([[2, 1, 7, 11]])
PARTS = torch.tensor([[[3.0, 4.0], [torch.nan, torch.nan]]])


def with_parts() -> DataSet:
    """A task whose objects all lie in one box, with a part that is shown and one that is hidden."""
    base = pointer_dataset()
    split = replace(pointer_split(30, seed=1), boxes=BOX.expand(30, -1))
    named = NamedParts(("beak", "tail"), PARTS.expand(30, -1, -1), ("beak", "tail"))
    return DataSet(
        "birds", "label", base.classes, base.geometry, 3, {"train": lambda: split}, parts=lambda _: named
    )


@pytest.fixture
def figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The picture of seven of these images."""
    figure = Figure()
    monkeypatch.setattr(data.gallery, "figure_of", lambda *size: figure)
    draw_sample(tmp_path / "a.png", sample_of(with_parts(), "train", 7))
    assert (tmp_path / "a.png").stat().st_size > 0
    return figure


def test_a_sample_is_of_the_split_and_fair() -> None:
    digits = load("digits")
    split, sample = digits["valid"], sample_of(digits, "valid", 9)
    assert torch.equal(sample.ids, choose_images(split, 9))
    rows = torch.searchsorted(split.ids, sample.ids)
    assert torch.equal(sample.images, split.images[rows])
    assert sample.labels == [digits.classes[label] for label in split.labels[rows]]
    assert split.boxes is not None and sample.boxes is not None
    assert torch.equal(sample.boxes, split.boxes[rows])


def test_there_are_never_more_images_than_the_split_has() -> None:
    assert len(sample_of(pointer_dataset(), "valid", 500).ids) == 20


def test_images_can_be_named_and_others_are_refused() -> None:
    assert sample_of(pointer_dataset(), "design", 3, [7, 1, 7]).ids.tolist() == [7, 1]
    with pytest.raises(
        SettingsError, match="expected an image of the split, from 1 to 148, found no image 2;"
    ):
        sample_of(pointer_dataset(), "design", 3, [1, 2])


def test_each_panel_has_its_image_its_class_its_box_and_its_visible_parts(figure: Figure) -> None:
    sample = sample_of(with_parts(), "train", 7)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 7
    for axes, image, number, label in zip(
        panels, sample.images, sample.ids.tolist(), sample.labels, strict=True
    ):
        assert np.array_equal(np.asarray(axes.images[0].get_array()), image[..., 0])
        assert axes.get_title() == f"{number}: {label}"
        [box] = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert (box.get_y(), box.get_x(), box.get_height(), box.get_width()) == (1.5, 0.5, 5, 10)
        [dot] = axes.lines
        assert (*np.asarray(dot.get_xydata())[0], dot.get_label()) == (3.5, 2.5, "beak")
        assert to_rgb(dot.get_color()) == to_rgb("C0")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beak"]


def test_the_command_fits_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("show", "--sample", "--split", "test", "--images", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == "wrote digits-test.png\n" and [path.name for path in tmp_path.iterdir()] == [
        "digits-test.png"
    ]
    assert np.asarray(Image.open("digits-test.png")).std() > 10


def test_what_has_no_effect_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "a.h5"
    assert_refused(call("show"), "--sample", "neither")
    assert_refused(call("show", store, "--sample"), "without a FILE")
    assert_refused(call("show", "--sample", "--picture", "information"), "--picture without --sample")
    assert_refused(call("show", store, "--images", 3), "--images with --sample")
    assert_refused(call("show", store, "--dataset", "digits"), "--dataset with --sample")
    assert_refused(
        call("show", store, "--fit", tmp_path), "--fit with --picture masked-images or completions"
    )
    assert_refused(call("show", store, "--picture", "information", "--image", 1), "--image with --picture")
    assert_refused(call("show", "--sample", "--image", 987654, "--out", tmp_path / "a.png"), "987654")
    assert list(tmp_path.iterdir()) == []
