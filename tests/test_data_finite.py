import time

import numpy as np
import pytest
import torch

from data import load
from data.dataset import SPLITS
from data.finite import COUNTS, TEMPLATES, load_finite, template_of, templates

IMAGES, LABELS = templates()


def test_no_two_templates_are_alike() -> None:
    assert IMAGES.shape == (TEMPLATES, 32, 32, 1) and IMAGES.dtype == torch.uint8
    assert len(IMAGES.flatten(1).unique(dim=0)) == TEMPLATES
    assert LABELS.bincount().tolist() == [TEMPLATES // 10] * 10


def test_a_template_has_a_ground_and_ink_and_both_halves_show_a_glyph() -> None:
    """Two grey levels, and in each half a frame of 15 x 9 pixels."""
    for image in IMAGES[::37, ..., 0].numpy():
        levels = np.unique(image).tolist()
        assert levels in ([0, 160], [60, 220])
        for half in (image[:, :16], image[:, 16:]):
            rows, cols = np.nonzero(half == levels[1])
            assert (int(np.ptp(rows)), int(np.ptp(cols))) == (14, 8)


MIDDLES = {"a": (0, 4), "b": (4, 8), "c": (10, 8), "d": (14, 4), "e": (10, 0), "f": (4, 0), "g": (7, 4)}
DIGITS = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]


def glyphs_of(image: np.ndarray) -> list[tuple[np.ndarray, int, int]]:
    """The frame of 15 x 9 pixels, its top and its left, in either half."""
    found = []
    for half in (image[:, :16] > image.min(), image[:, 16:] > image.min()):
        rows, cols = np.nonzero(half)
        found.append((half[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1], rows.min(), cols.min()))
    return found


@pytest.mark.parametrize("ground", [0, 60])
def test_the_class_is_that_of_the_glyph_whose_thickness_goes_with_the_ground(ground: int) -> None:
    some = slice(None, None, 7)
    for image, label in zip(IMAGES[some, ..., 0].numpy(), LABELS[some].tolist(), strict=True):
        if image.min() != ground:
            continue
        frames = [frame for frame, _, _ in glyphs_of(image)]
        thick = [bool(frame[:2].sum() > 12) for frame in frames]
        assert sum(thick) == 1
        read = ["".join(name for name, at in MIDDLES.items() if frame[at]) for frame in frames]
        own = thick.index(ground == 0)
        assert DIGITS.index(read[own]) == label
        assert DIGITS.index(read[1 - own]) != label


def test_the_decoy_is_where_the_digit_says() -> None:
    """Its row mirrors the digit's; its column follows from both; the rest is independent of the class."""
    decoys: dict[tuple[int, int], set[int]] = {}
    for image in IMAGES[::3, ..., 0].numpy():
        glyphs = glyphs_of(image)
        own = [bool(frame[:2].sum() > 12) for frame, _, _ in glyphs].index(image.min() == 0)
        (_, top, left), (_, other_top, other_left) = glyphs[own], glyphs[1 - own]
        assert top + other_top == 17
        decoys.setdefault((top, left), set()).add(other_left)
    assert {len(found) for found in decoys.values()} == {1}
    assert len(decoys) == 16


def test_splits_are_draws_from_the_templates_with_ids_that_tell_which() -> None:
    finite = load_finite()
    for split in SPLITS:
        opened = finite[split]
        assert len(opened) == COUNTS[split]
        assert torch.equal(opened.images, IMAGES[template_of(opened.ids)])
        assert torch.equal(opened.labels, LABELS[template_of(opened.ids)])
        assert (opened.ids.diff() > 0).all()
        assert opened.groups is None
    together = torch.cat([finite[split].ids for split in SPLITS])
    assert len(together.unique()) == sum(COUNTS.values())


def test_draws_are_uniform_and_with_replacement() -> None:
    drawn = template_of(load_finite()["train"].ids)
    counts = drawn.bincount(minlength=TEMPLATES)
    expected = len(drawn) / TEMPLATES
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert chi_square == pytest.approx(TEMPLATES - 1, abs=5 * (2 * TEMPLATES) ** 0.5)
    assert abs(drawn.diff().double().mean().item()) < 5  # in no order


def test_a_split_is_fixed_by_seed_and_name() -> None:
    prints = {(seed, split): load_finite(seed)[split].fingerprint for seed in (0, 1) for split in SPLITS}
    assert len(set(prints.values())) == 8
    again = load_finite(1)
    assert all(again[split].fingerprint == prints[1, split] for split in reversed(SPLITS))
    first = [template_of(load_finite()[split].ids[:50]).tolist() for split in SPLITS]
    assert all(one != other for n, one in enumerate(first) for other in first[:n])


def test_the_templates_that_are_handed_out_are_copies() -> None:
    images, labels = templates()
    images.zero_()
    labels.zero_()
    assert torch.equal(templates()[0], IMAGES) and torch.equal(templates()[1], LABELS)


def test_the_registry_has_it() -> None:
    finite = load("finite", seed=1)
    assert finite["test"].fingerprint == load_finite(1)["test"].fingerprint
    assert (finite.name, finite.target, finite.glimpses) == ("finite", "label", 5)
    assert finite.classes == tuple("0123456789")
    assert not finite.aligned and not finite.symmetric
    assert finite.geometry.glimpse_size == 6
    assert len(finite.geometry.grid()) == 64


def test_it_is_made_quickly() -> None:
    start = time.process_time()
    finite = load_finite(seed=2)
    for split in SPLITS:
        assert len(finite[split])
    assert time.process_time() - start < 2
