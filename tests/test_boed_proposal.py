import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, split_of

from boed.search.proposal import choose_places, ridge_information
from data.dataset import Split
from data.geometry import Geometry


def noise(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 9)), random.integers(0, 3, count)


def test_the_place_that_carries_the_label_has_the_information() -> None:
    cells, labels = noise(400)
    cells[:, 5] = 30 + 80 * labels
    found = ridge_information(split_of(cells, labels, noise=8), PLACES, GEOMETRY.retina(), 3)
    assert found.argmax() == 5
    assert found[5] > 0.5
    assert found[[n for n in range(9) if n != 5]].max() < 0.03


def test_more_signal_is_more_information() -> None:
    cells, labels = noise(400)
    random = np.random.default_rng(1)
    for place, right in ((2, 0.95), (3, 0.8), (4, 0.6)):
        told = np.where(random.random(400) < right, labels, random.integers(0, 3, 400))
        cells[:, place] = 30 + 80 * told
    found = ridge_information(split_of(cells, labels, noise=8), PLACES, GEOMETRY.retina(), 3)
    assert found[2] > found[3] > found[4] > found[[0, 1, 5, 6, 7, 8]].max()


def test_random_labels_have_none() -> None:
    """Held out: 17 coefficients fitted to 60 images would explain a good part of them in sample."""
    cells, labels = noise(120)
    found = ridge_information(split_of(cells, labels, noise=60), PLACES, GEOMETRY.retina(), 3)
    assert found.shape == (9,)
    assert (found >= 0).all() and found.max() < 0.05


@pytest.mark.parametrize("classes", [4, 7])
def test_classes_without_an_image_add_nothing(classes: int) -> None:
    cells, labels = noise(100)
    cells[:, 5] = 30 + 80 * labels
    split = split_of(cells, labels, noise=8)
    present = ridge_information(split, PLACES, GEOMETRY.retina(), 3)
    declared = ridge_information(split, PLACES, GEOMETRY.retina(), classes)
    assert torch.allclose(declared, present, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("count", [97, 100, 2000])
def test_a_label_that_all_images_have_is_told_by_no_place(classes: int, count: int) -> None:
    """Nor where its share is not to be had to the last bit."""
    labels = np.zeros(count, dtype=int)
    split = split_of(noise(count)[0], labels)
    assert (ridge_information(split, PLACES, GEOMETRY.retina(), classes) == 0).all()


def test_a_rare_class_is_still_told() -> None:
    cells, _ = noise(2000)
    labels = (np.arange(2000) % 500 == 7).astype(int)
    cells[:, 5] = 30 + 200 * labels
    found = ridge_information(split_of(cells, labels), PLACES, GEOMETRY.retina(), 3)
    assert found.argmax() == 5 and found[5] > 0.5


def test_information_is_exact_for_a_known_linear_model() -> None:
    """One pixel tells the label with errors: ridge approaches the population value of the formula."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 4000)
    shown = np.where(random.random(4000) < 0.9, labels, 1 - labels)
    cells = random.integers(0, 256, (4000, 9))
    cells[:, 0] = 255 * shown
    found = ridge_information(split_of(cells, labels), PLACES[:2], GEOMETRY.retina(), 2, rows=4000)
    # correlation 0.8 for each of the two one-hot columns: 2 * -log(1 - 0.64) / 2
    assert abs(found[0].item() + np.log(1 - 0.8**2)) < 0.08
    assert found[1] < 0.01


def test_only_some_rows_are_read() -> None:
    cells, labels = noise(300)
    split = split_of(cells, labels)
    images = split.images.clone()
    some = torch.linspace(0, 299, 50).long()
    others = torch.ones(300, dtype=torch.bool)
    others[some] = False
    images[others] = 0
    changed = Split(images, split.labels, split.ids, "")
    args = (PLACES, GEOMETRY.retina(), 3)
    assert torch.equal(ridge_information(split, *args, rows=50), ridge_information(changed, *args, rows=50))


def test_places_keep_their_distance_and_come_best_first() -> None:
    locations = Geometry(40, 40, 1, 8, per_axis=17).grid().locations
    information = torch.rand(len(locations), generator=torch.Generator().manual_seed(0))
    chosen = choose_places(information, locations, 9, 0.75)
    assert len(chosen) == 9 and chosen[0] == information.argmax()
    assert (information[chosen].diff() <= 0).all()
    corners = locations[:, :2]
    gaps = (corners[chosen][:, None] - corners[chosen]).abs().amax(-1).fill_diagonal_(99)
    assert gaps.min() >= 6
    # greedy: nothing better than the last one was left out that keeps its distance from those before
    free = (corners[:, None] - corners[chosen[:-1]]).abs().amax(-1).amin(1) >= 6
    assert information[free].max() == information[chosen[-1]]


def test_there_may_be_fewer_places_than_asked_for() -> None:
    assert sorted(choose_places(torch.rand(9), PLACES, 50, 0.0).tolist()) == list(range(9))
    assert len(choose_places(torch.rand(9), PLACES, 50, 1.25)) <= 4
    assert len(choose_places(torch.rand(9), PLACES, 50, 25.0)) == 1
