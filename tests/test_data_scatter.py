from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from faces_tiny import ANNOTATED, annotate
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data import DataSet, load
from data.dataset import SPLITS
from data.decode import decode_square
from data.errors import DataError, SettingsError
from data.layouts import CELEBAHQ_IMAGES as IMAGES
from data.placing import Placing
from data.scatter import COPIES, PARTS, backgrounds, canvas_numbers, face_boxes
from data.scatter_settings import Scattering, scattering_of
from supervision.annotations import named_parts

Write = Callable[..., None]
WIDTHS, SAME = (20, 40), Placing()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, write_photo: Write) -> Path:
    """Nine noise images, two of them for training, and two more."""
    folder = tmp_path_factory.mktemp("faces")
    ids = [*ANNOTATED, 2001, 2002]
    annotate(folder, ids, [1, -1] * 5 + [1])
    for i in ids:
        write_photo(folder / IMAGES / f"{i}.jpg", i, (64, 64))
    return folder


def scattered(root: Path, **options: object) -> DataSet:
    return load(
        "celebahq",
        root,
        **{"attribute": "Male", "scatter": True, "canvas": 48, "face_widths": WIDTHS} | options,
    )


def inside(canvas: torch.Tensor, box: list[int]) -> np.ndarray:
    top, left, bottom, right = box
    return canvas[top:bottom, left:right].numpy()


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4),
    st.integers(16, 40),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_a_face_lies_wholly_inside_and_is_of_a_width_asked_for(
    numbers: list[float], narrowest: int, more: int, room: int
) -> None:
    widest = narrowest + more
    top, left, bottom, right = face_boxes(np.array([numbers]), widest + room, (narrowest, widest))[0]
    assert bottom - top == right - left and narrowest <= right - left <= widest
    assert min(top, left) >= 0 and max(bottom, right) <= widest + room


def test_every_width_and_place_is_reached_and_none_is_preferred() -> None:
    boxes = face_boxes(canvas_numbers(np.arange(20_000), "train", Placing()), 21, (16, 20))
    width, room = boxes[:, 2] - boxes[:, 0], 21 - 16
    assert np.bincount(width)[16:].min() > 0.9 * 20_000 / 5
    narrow = boxes[width == 16]
    counts = np.bincount(narrow[:, 0] * (room + 1) + narrow[:, 1], minlength=(room + 1) ** 2)
    assert len(counts) == (room + 1) ** 2 and counts.min() > 0.6 * len(narrow) / len(counts)


@given(st.floats(0, 1, exclude_max=True), st.integers(2, 9), st.integers(0, 9))
def test_a_background_is_another_photograph(number: float, count: int, own: int) -> None:
    own = min(own, count)
    [chosen] = backgrounds(np.array([[0, 0, 0, number]]), np.array([own]), count)
    assert 0 <= chosen < count and chosen != own


def test_the_face_is_in_its_box_and_a_training_image_behind_it(root: Path) -> None:
    dataset, aligned = scattered(root), load("celebahq", root, attribute="Male")
    for split in SPLITS:
        shown, faces = dataset[split], aligned[split]
        assert torch.equal(shown.ids, faces.ids) and torch.equal(shown.labels, faces.labels)
        assert shown.boxes is not None and shown.images.shape == (len(faces), 48, 48, 3)
        for canvas, box, face in zip(shown.images, shown.boxes.tolist(), faces.images, strict=True):
            width = box[2] - box[0]
            small = np.asarray(Image.fromarray(face.numpy()).resize((width,) * 2, Image.Resampling.LANCZOS))
            assert np.array_equal(inside(canvas, box), small)
            steps = canvas.float().diff(dim=1).abs().mean(2)  # from each pixel to the next of its row
            steps[box[0] : box[2], max(0, box[1] - 1) : box[3]] = 0
            assert 0 < steps.max() < 10 < np.abs(np.diff(small.astype(float), axis=1)).mean()  # blurred noise


def test_backgrounds_are_training_images_of_others(tmp_path: Path) -> None:
    """Of one colour each, which blurring leaves."""
    ids = [0, 2000, 2001, 2002, 27000]
    annotate(tmp_path, ids, [1] * 5)
    (tmp_path / IMAGES).mkdir()
    colours = {i: 20 + 45 * n for n, i in enumerate(ids)}
    for i, colour in colours.items():
        Image.new("RGB", (32, 32), (colour,) * 3).save(tmp_path / IMAGES / f"{i}.jpg", quality=100)
    dataset = scattered(tmp_path, placements=20)
    seen = dict[str, set[tuple[int, int]]]()
    for split in ("train", "design", "valid"):
        for canvas, image in zip(dataset[split].images, dataset[split].ids.tolist(), strict=True):
            values = canvas.unique().tolist()
            near = {i for i in ids for value in values if abs(value - colours[i]) < 4}
            assert near > {image % COPIES}
            seen.setdefault(split, set()).update((image % COPIES, i) for i in near - {image % COPIES})
    train = (2000, 2001, 2002)
    assert seen["train"] == {(a, b) for a in train for b in train if a != b}
    assert {b for _, b in seen["design"] | seen["valid"]} <= set(train)


def test_placements_are_canvases_of_their_own_of_one_group(root: Path) -> None:
    once, twice = scattered(root)["train"], scattered(root, placements=2)["train"]
    count = len(once)
    assert torch.equal(twice.ids, torch.cat([once.ids, once.ids + COPIES]))
    assert once.groups is None and twice.groups is not None
    assert torch.equal(twice.groups, once.ids.repeat(2))
    assert torch.equal(twice.labels, once.labels.repeat(2))
    assert torch.equal(twice.images[:count], once.images)
    assert all((a != b).any() for a, b in zip(twice.images[:count], twice.images[count:], strict=True))
    assert scattered(root, placements=2)["valid"].fingerprint == scattered(root)["valid"].fingerprint


def test_a_canvas_depends_on_seed_split_and_id_alone(root: Path) -> None:
    ids = np.array([3, 8, 40])
    assert np.array_equal(canvas_numbers(ids, "train", SAME)[1:2], canvas_numbers(ids[1:2], "train", SAME))
    assert not np.array_equal(canvas_numbers(ids, "train", SAME), canvas_numbers(ids, "test", SAME))
    again, other = scattered(root, seed=0)["design"], scattered(root, seed=1)["design"]
    assert again.fingerprint == scattered(root)["design"].fingerprint != other.fingerprint


def test_parts_lie_in_the_box_at_their_shares(root: Path) -> None:
    dataset = scattered(root, placements=2)
    assert dataset.parts is not None and dataset.symmetric and not dataset.aligned
    for split in ("design", "train"):
        named, boxes = dataset.parts(split), dataset[split].boxes
        assert boxes is not None and named.names == tuple(PARTS) and set(named.order) == set(PARTS)
        shares = (named.places - boxes[:, None, :2]) / (boxes[:, None, 2:] - boxes[:, None, :2])
        assert torch.allclose(shares, torch.tensor(list(PARTS.values())).double().expand_as(shares))
    mouths = named_parts(dataset, "design", ["mouth"])
    assert torch.equal(mouths.ids, dataset["design"].ids) and bool(mouths.visible.all())


def test_several_attributes_share_their_canvases(root: Path) -> None:
    both = scattered(root, attribute="Male,Young")
    assert both.target == "Male,Young" and both["train"].labels.shape == (4, 2)
    one = both.only("Male")
    assert one.parts is not None and one.name == "celebahq-scatter"
    assert torch.equal(one["train"].labels, scattered(root)["train"].labels)
    assert one["train"].fingerprint == scattered(root)["train"].fingerprint


@pytest.mark.parametrize("canvas", [128, 224])
def test_the_geometry_is_that_of_the_canvas(root: Path, canvas: int) -> None:
    opened = scattered(root, canvas=canvas)
    rows = opened.geometry.grid().parts[0].rows
    assert rows == tuple(range(0, canvas - 15, 4)) and opened.glimpses == 5
    assert opened.geometry.image_size == (canvas, canvas)


def test_what_opened_it_opens_it_again(root: Path) -> None:
    opened = scattered(root)
    again = load(**(opened.origin or {}) | {"face_widths": list(WIDTHS)})  # as JSON has it
    assert again["test"].fingerprint == opened["test"].fingerprint


def test_a_face_without_another_behind_it_is_refused(tmp_path: Path, write_photo: Write) -> None:
    annotate(tmp_path)
    write_photo(tmp_path / IMAGES / "27500.jpg", 0)
    with pytest.raises(DataError, match="training images to put behind the faces of test, found 0"):
        scattered(tmp_path)["test"]
    write_photo(tmp_path / IMAGES / "2000.jpg", 0)
    assert len(scattered(tmp_path)["test"]) == 1
    with pytest.raises(DataError, match="training images to put behind the faces of train, found 1"):
        scattered(tmp_path)["train"]


@pytest.mark.parametrize("name", ["canvas", "face_widths", "placements", "seed"])
def test_how_to_scatter_is_refused_without_scattering(name: str, root: Path) -> None:
    value = WIDTHS if name == "face_widths" else 128
    for options in ({}, {"scatter": False}):
        with pytest.raises(SettingsError, match=f"expected no {name} for celebahq without scatter, found"):
            load("celebahq", root, **{name: value}, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"canvas": 99}, "canvas for faces of up to 100 pixels, found 99"),
        ({"canvas": "128"}, "canvas of scattered faces as a whole number"),
        ({"face_widths": (60, 50)}, "face_widths of two whole numbers"),
        ({"face_widths": (15, 50)}, "from 16 on"),
        ({"face_widths": (50,)}, "face_widths of two whole numbers"),
        ({"face_widths": 50}, "face_widths of two whole numbers"),
        ({"placements": 0}, "placements of scattered faces as a whole number from 1 on, found 0"),
        ({"seed": -1}, "seed of scattered faces as a whole number from 0 on, found -1"),
    ],
)
def test_faces_that_cannot_be_scattered_so_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        scattering_of({"scatter": True, **options})


def test_aligned_faces_are_as_before(root: Path) -> None:
    aligned = load("celebahq", root, attribute="Male", scatter=False)
    first = decode_square(root / IMAGES / "0.jpg", 224)
    assert np.array_equal(aligned["design"].images[0].numpy(), first)
    assert aligned.name == "celebahq" and aligned.aligned and aligned.parts is None
    assert scattering_of({"attribute": "Male", "scatter": False}) is None
    assert scattering_of({"scatter": True}) == Scattering(128, (56, 100), 1, 0)
