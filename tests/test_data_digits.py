import pytest
import torch

from data.dataset import SPLITS
from data.digits import load_digits

HANDWRITTEN = 1797


def test_no_handwritten_digit_is_in_two_splits_and_all_are_used() -> None:
    digits = load_digits()
    bases = {split: set((digits[split].ids % HANDWRITTEN).tolist()) for split in SPLITS}
    assert sum(len(base) for base in bases.values()) == len(set().union(*bases.values())) == HANDWRITTEN
    assert {split: len(base) for split, base in bases.items()} == {
        "design": 300, "train": 1047, "valid": 150, "test": 300,
    }  # fmt: skip


@pytest.mark.parametrize(("split", "copies"), [("design", 1), ("train", 6), ("valid", 1), ("test", 2)])
def test_copies_have_their_own_id_and_place_and_the_same_label(split: str, copies: int) -> None:
    opened = load_digits()[split]
    assert torch.equal(opened.ids, opened.ids.unique())  # also: increasing
    by_copy = opened.labels.view(copies, -1)
    assert bool((by_copy == by_copy[0]).all())
    pictures = opened.images.flatten(1).unique(dim=0)
    assert len(pictures) == len(opened)


def test_images_labels_and_classes_are_sound() -> None:
    digits = load_digits()
    for split in SPLITS:
        opened = digits[split]
        assert opened.images.dtype == torch.uint8
        assert opened.images.shape[1:] == (40, 40, 1)
        counts = opened.labels.bincount(minlength=10) / len(opened)
        assert len(counts) == len(digits.classes) == 10
        assert 0.05 < counts.min() <= counts.max() < 0.16
        lit = (opened.images > 0).float().mean(dim=(1, 2, 3))
        assert 0.02 < lit.min() <= lit.max() < 0.25


def test_seed_moves_the_digits_but_leaves_the_splits() -> None:
    first, again, other = (load_digits(seed)["test"] for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.ids, other.ids)
    assert torch.equal(first.labels, other.labels)


def test_grid_has_nine_places_per_axis_every_four_pixels() -> None:
    assert load_digits().geometry.grid().parts[0].rows == tuple(range(0, 33, 4))
