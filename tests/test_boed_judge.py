"""The judge: that it learns what the places tell, and never from a mask of an image that it judges."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset
from torch import Tensor
from torch.nn.functional import nll_loss

import boed.comparison.judge
import boed.comparison.masks
from boed.comparison.judge import folds, judge, train_judge
from boed.comparison.masks import Masks, draw, look, pair
from boed.comparison.settings import JudgeSettings
from boed.posteriors.glimpse_set import GlimpseSetPosterior
from data.dataset import DataSet, Split
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.places import places_at

DATASET = pointer_dataset()
DESIGN, COUNT = DATASET["design"], len(DATASET["design"])
LABELS = DESIGN.labels


def at(cells: Tensor) -> Tensor:
    """(N, T, 3) of the cells (N, T)."""
    return PLACES[cells]


def adaptive() -> Tensor:
    """The middle cell, then the one that it points to, then another."""
    fine = torch.where(LABELS // 2 == 0, 0, 8)
    return at(torch.stack([torch.full((COUNT,), 4), fine, torch.full((COUNT,), 1)], 1))


def random_order(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return at(torch.rand(COUNT, 9, generator=generator).argsort(1)[:, :3])


def masks_of(*locations: Tensor) -> Masks:
    return Masks(torch.stack(locations), DESIGN, torch.arange(COUNT), GEOMETRY)


MASKS = masks_of(adaptive(), at(torch.tensor([4, 0, 8])).expand(COUNT, -1, -1), random_order())
QUICK = JudgeSettings(iterations=3, width=8)


@pytest.fixture(scope="module")
def log_probs() -> Tensor:
    return judge(DATASET, MASKS, JudgeSettings(iterations=150, width=24))


def test_informative_places_are_judged_better(log_probs: Tensor) -> None:
    assert log_probs.shape == (3, COUNT, 3, 4)
    assert torch.allclose(log_probs.exp().sum(-1), torch.ones(3, COUNT, 3), atol=1e-5)
    nll = nll_loss(log_probs.movedim(-1, 1), LABELS[None, :, None].expand(3, -1, 3), reduction="none").mean(1)
    designed, fixed, random = nll
    assert designed[0].item() == pytest.approx(0.69, abs=0.1)  # of four labels the middle cell leaves two
    assert designed[1] < 0.15  # the pointed-to cell leaves one
    assert 0.2 < fixed[1] < 0.6  # the same cell for all is the right one for half: log(2) / 2
    assert fixed[2] < 0.2  # both cells leave one
    assert (random > designed + 0.3).all()


def test_a_judge_never_met_the_masks_of_what_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt, judged = list[set[int]](), list[set[int]]()

    def train(dataset: DataSet, masks: Masks, *args: object, **options: object) -> GlimpseSetPosterior:
        learnt.append(set(masks.rows.tolist()))
        return GlimpseSetPosterior(GEOMETRY.glimpse_shape(), 4, 3, 8).eval()

    def predict(q: GlimpseSetPosterior, masks: Masks) -> Tensor:
        judged.append(set(masks.rows.tolist()))
        return torch.zeros(*masks.locations.shape[:3], 4)

    monkeypatch.setattr(boed.comparison.judge, "train_judge", train)
    monkeypatch.setattr(boed.comparison.judge, "predict", predict)
    judge(DATASET, MASKS, JudgeSettings(judges=2))
    everything = set(range(COUNT))
    assert [mine | others for mine, others in zip(judged, learnt, strict=True)] == [everything] * 4
    assert not any(mine & others for mine, others in zip(judged, learnt, strict=True))
    assert judged[0] == judged[1] and judged[0] | judged[2] == everything


def test_a_mask_does_not_touch_the_judge_of_its_own_image() -> None:
    changed = MASKS.locations.clone()
    changed[:, 0] = PLACES[[2, 3, 5]]
    before = judge(DATASET, MASKS, QUICK)
    after = judge(DATASET, Masks(changed, DESIGN, MASKS.rows, GEOMETRY), QUICK)
    fold = folds(DESIGN, MASKS.rows, QUICK.seed)
    same_fold = fold == fold[0]
    same_fold[0] = False
    assert torch.equal(before[:, same_fold], after[:, same_fold])
    assert not torch.equal(before[:, fold != fold[0]], after[:, fold != fold[0]])


def test_a_judge_learns_from_training_images_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Split]()

    def spied(split: Split, *args: Tensor) -> Tensor:
        seen.append(split)
        return look(split, *args)

    monkeypatch.setattr(boed.comparison.masks, "look", spied)
    monkeypatch.setattr(boed.comparison.judge, "look", spied)
    train_judge(DATASET, MASKS, QUICK, seed=0)
    assert {id(split) for split in seen} == {id(DATASET["valid"]), id(DATASET["train"])}


def test_the_same_seed_gives_the_same_judgement() -> None:
    state = torch.random.get_rng_state()
    first, again = judge(DATASET, MASKS, QUICK), judge(DATASET, MASKS, QUICK)
    assert torch.equal(first, again)
    assert not torch.equal(first, judge(DATASET, MASKS, JudgeSettings(iterations=3, width=8, seed=1)))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_several_judges_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([0.9, 0.5, 0.2, 0.2])  # of the two judges of fold 0, then of fold 1
    monkeypatch.setattr(boed.comparison.judge, "train_judge", lambda *args, **options: None)

    def predict(q: None, masks: Masks) -> Tensor:
        p = next(answers)
        logits = torch.tensor([p, 1 - p, 1e-30, 1e-30]).log()
        return logits.expand(*masks.locations.shape[:3], 4)

    monkeypatch.setattr(boed.comparison.judge, "predict", predict)
    found = judge(DATASET, MASKS, JudgeSettings(judges=2)).exp()
    fold = folds(DESIGN, MASKS.rows, 0)
    assert torch.allclose(found[:, fold == 0, :, 0], torch.tensor(0.7))
    assert torch.allclose(found[:, fold == 1, :, 0], torch.tensor(0.2))


def test_the_best_weights_are_kept_and_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    nlls = iter([3.0, 1.0, 2.0])
    states = list[dict[str, Tensor]]()

    def nll(self: object, q: GlimpseSetPosterior) -> float:
        states.append({name: value.clone() for name, value in q.state_dict().items()})
        return next(nlls)

    monkeypatch.setattr(boed.comparison.judge.Held, "nll", nll)
    monkeypatch.setattr(boed.comparison.judge, "CHECK_EVERY", 2)
    q = train_judge(DATASET, MASKS, JudgeSettings(iterations=6, width=8), seed=0)
    found = q.state_dict()
    assert all(torch.equal(found[name], states[1][name]) for name in found if name != "temperature")
    assert q.temperature[0] == 1 and (q.temperature[1:] != 1).any() and not q.training


def test_versions_of_one_original_lie_in_one_fold() -> None:
    groups = torch.arange(COUNT) // 2
    split = Split(DESIGN.images, LABELS, DESIGN.ids, "", groups)
    found = folds(split, torch.arange(COUNT), seed=3)
    assert torch.equal(found[::2], found[1::2])
    assert not torch.equal(found, folds(split, torch.arange(COUNT), seed=4))
    with pytest.raises(DataError, match="at least 4 images with sequences .* found 3"):
        folds(split, torch.arange(6), seed=0)


@pytest.mark.parametrize("setting", ["iterations", "judges", "alike", "width"])
def test_impossible_settings(setting: str) -> None:
    with pytest.raises(SettingsError, match=f"expected {setting} of at least 1, found 0"):
        JudgeSettings(**{setting: 0})
    with pytest.raises(SettingsError, match="expected seed .* found -1"):
        JudgeSettings(seed=-1)


def some(count: int, seed: int = 0) -> tuple[Split, Geometry]:
    """Noise images wider than high, in colour, seen at two scales."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 12, 16, 3), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(count) % 2, torch.arange(count), "")
    return split, Geometry(12, 16, 3, glimpse_size=4, scales=2, per_axis=3)


def test_a_mirrored_glimpse_is_a_glimpse_of_the_mirrored_image() -> None:
    split, geometry = some(6)
    corners = torch.randint(-3, 12, (6, 2, 2), generator=torch.Generator().manual_seed(1))
    places = places_at(corners, 4)
    flipped = torch.tensor([True, False] * 3)
    turned = Split(split.images.flip(2).contiguous(), split.labels, split.ids, "")
    rows, straight = torch.arange(6), torch.zeros(6, dtype=torch.bool)
    found = look(split, rows, places, geometry, flipped)
    assert torch.equal(found[1::2], look(split, rows, places, geometry, straight)[1::2])
    assert torch.allclose(found[::2], look(turned, rows, places, geometry, straight)[::2], atol=1e-6)


def test_pairing_takes_masks_of_the_source_that_is_asked_for() -> None:
    sources = torch.tensor([0, 1, 2]).repeat(30)
    rows, straight = torch.arange(90), torch.zeros(90, dtype=torch.bool)
    for alike in (1, 4):
        generator = torch.Generator().manual_seed(0)
        found = pair(MASKS, sources, DATASET["train"], rows, straight, alike, generator)
        assert found.shape == (90, 3, 3)
        for source in range(3):
            offered = {tuple(mask.flatten().tolist()) for mask in MASKS.locations[source]}
            assert {tuple(mask.flatten().tolist()) for mask in found[sources == source]} <= offered


def test_of_many_masks_an_image_takes_that_of_the_image_most_like_it() -> None:
    split, geometry = some(8)
    generator = torch.Generator().manual_seed(2)
    locations = places_at(torch.randint(0, 8, (1, 8, 3, 2), generator=generator), 4)
    masks = Masks(locations, split, torch.arange(8), geometry)
    sources, rows = torch.zeros(8, dtype=torch.int64), torch.arange(8)
    straight = torch.zeros(8, dtype=torch.bool)
    other_labels = Split(split.images, 1 - split.labels, split.ids, "")
    for asked in (split, other_labels):  # labels play no part
        found = pair(masks, sources, asked, rows, straight, 200, torch.Generator().manual_seed(0))
        assert torch.equal(found, locations[0])  # its own, which is among so many
    turned = Split(split.images.flip(2).contiguous(), split.labels, split.ids, "")
    found = pair(masks, sources, turned, rows, ~straight, 200, torch.Generator().manual_seed(0))
    assert torch.equal(found, locations[0])  # mirrored back


def test_batches_are_shifted_and_mirrored_but_told_the_place() -> None:
    split, geometry = some(1)
    masks = Masks(torch.full((1, 1, 1, 3), 4), split, torch.arange(1), geometry)
    for mirror in (False, True):
        glimpses, centres, labels = draw(
            split, torch.arange(1), masks, 1, torch.Generator().manual_seed(0), mirror=mirror
        )
        assert len(centres.flatten(0, 1).unique(dim=0)) == 1 and labels.tolist() == [0] * 128
        assert len(glimpses.unique(dim=0)) == (18 if mirror else 9)  # a pixel in each direction


def test_one_taught_by_covering_glimpses_learns_from_these_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time; and it is validated where the sequences of its fold look at their own images."""
    drawn, held = list[str](), list[Masks]()
    covered, own, at_masks = (
        boed.comparison.masks.covered_batch,
        boed.comparison.judge.Held.own,
        boed.comparison.masks.draw,
    )

    def noted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            drawn.append(name)
            return function(*arguments, **options)

        return call

    def kept(masks: Masks) -> Any:
        held.append(masks)
        return own(masks)

    monkeypatch.setattr(boed.comparison.judge, "covered_batch", noted("covering", covered))
    monkeypatch.setattr(boed.comparison.judge, "draw", noted("masks", at_masks))
    monkeypatch.setattr(boed.comparison.judge.Held, "own", kept)
    settings = JudgeSettings(iterations=7, width=8, posterior="glimpse-max")
    found = judge(DATASET, MASKS, settings)
    assert drawn == 2 * (["covering"] * 3 + ["masks"] * 4)
    assert found.shape == (3, COUNT, 3, 4) and torch.allclose(found.exp().sum(-1), torch.ones(3, COUNT, 3))
    rows = [set(masks.rows.tolist()) for masks in held]
    assert rows[0] | rows[1] == set(range(COUNT)) and not rows[0] & rows[1]


def test_a_judge_that_knows_everything_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected a judge that learns, found exact"):
        JudgeSettings(posterior="exact")
