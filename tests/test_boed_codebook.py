"""Which images train q, which places are candidates, and how often training looks there."""

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_split
from torch import Tensor

from boed.search.codebook import codebook, partition, place_probabilities
from data.dataset import Split
from data.digits import load_digits
from data.errors import SettingsError
from data.geometry import Geometry


def test_partition_keeps_groups_together() -> None:
    split = load_digits()["train"]
    assert split.groups is not None
    rows, bank = partition(split, 0)
    assert not set(rows.tolist()) & set(bank.tolist())
    assert len(rows) + len(bank) == len(split)
    assert not set(split.groups[rows].tolist()) & set(split.groups[bank].tolist())
    assert len(bank) / len(split) == pytest.approx(0.28, abs=0.01)
    assert (rows.diff() > 0).all() and (bank.diff() > 0).all()
    assert torch.equal(partition(split, 0)[1], bank) and not torch.equal(partition(split, 1)[1], bank)
    ungrouped = pointer_split(50, 0)
    parts = torch.cat(partition(ungrouped, 3))
    assert sorted(parts.tolist()) == list(range(50))


def codebook_of(split: Split, geometry: Geometry, places: int, glimpses: int = 3) -> tuple[Tensor, Tensor]:
    rows = torch.arange(len(split))
    return codebook(split, rows, geometry, places=places, glimpses=glimpses, classes=4)


def test_small_grids_are_taken_whole_and_large_ones_by_information() -> None:
    split = pointer_split(200, 0)
    places, information = codebook_of(split, GEOMETRY, 2)
    assert sorted(places.tolist()) == PLACES.tolist()
    assert (information.diff() <= 0).all() and places[0].tolist() == [4, 4, 4]
    fine = Geometry(12, 12, 1, glimpse_size=2, per_axis=11)  # 121 places
    assert len(codebook_of(split, fine, 20)[0]) == 121
    image = pointer_split(60, 0)
    large = type(image)(image.images.repeat(1, 2, 2, 1), image.labels, image.ids, "")
    dense = Geometry(24, 24, 1, glimpse_size=4, per_axis=21)  # 441
    places, _ = codebook_of(large, dense, 10)
    gaps = (places[:, None] - places).abs().amax(-1).fill_diagonal_(99)
    assert len(places) == 10 and gaps.min() >= 3
    with pytest.raises(SettingsError, match="expected at least 10 places for as many glimpses, found 9"):
        codebook_of(split, GEOMETRY, 60, glimpses=10)


def test_only_images_that_train_q_make_the_codebook() -> None:
    split, rows = pointer_split(200, 0), torch.arange(0, 200, 2)
    images = split.images.clone()
    images[1::2] = 0
    changed = Split(images, split.labels, split.ids, "")
    options = {"places": 9, "glimpses": 3, "classes": 4}
    one, other = (codebook(some, rows, GEOMETRY, **options) for some in (split, changed))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_every_place_may_be_drawn_and_informative_ones_more_often() -> None:
    (found,) = place_probabilities(torch.tensor([2.0, 1.0, 0.0, 0.0]))
    assert found.sum().item() == pytest.approx(1)
    assert found[0] > found[1] > found[2] == found[3] >= 0.3 / 4
    assert place_probabilities(torch.zeros(5))[0].tolist() == pytest.approx([0.2] * 5)
    both = place_probabilities(torch.tensor([[2.0, 0.0], [1.0, 0.1], [0.0, 0.2], [0.0, 0.1]]))
    assert torch.allclose(both[0], found)  # each attribute in units of its own best place
    assert both[1].argmax() == 2 and torch.allclose(both[1].max(), found.max(), atol=0.1)
