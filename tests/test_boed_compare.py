"""Figures of a comparison by hand, and what it says of them."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, pointer_dataset, source
from torch import Tensor

import boed.comparison.compare
from boed.comparison.compare import Comparison, Source, average, common, compare
from boed.comparison.masks import Masks
from boed.comparison.settings import JudgeSettings
from boed.comparison.verdict import sentence, table, verdict
from data.dataset import DataSet
from data.errors import SettingsError, StoreError
from data.measures import Measure, calibration_measure, mean_measure, resampling, seen_pixels
from data.places import places_at

DATASET = pointer_dataset()
DESIGN, COUNT = DATASET["design"], len(DATASET["design"])
SETTINGS = JudgeSettings(iterations=3, width=8)


def test_the_mean_of_every_resample_by_hand() -> None:
    values = torch.tensor([[[1.0], [2.0], [6.0]]])  # one source, three images, one glimpse
    draws = np.array(list(itertools.product(range(3), repeat=3)))  # all 27 resamples
    found = mean_measure(values, np.stack([np.bincount(draw, minlength=3) for draw in draws]))
    means = [sum((1.0, 2.0, 6.0)[n] for n in draw) / 3 for draw in draws]
    assert found.value.tolist() == [[3.0]]
    assert found.samples[:, 0, 0].tolist() == pytest.approx(means)
    low, high = found.interval()
    assert [low.item(), high.item()] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist())


def test_a_resample_draws_images_and_versions_of_one_original_together() -> None:
    counts = resampling(torch.arange(40), seed=1, resamples=500)
    assert counts.shape == (500, 40) and (counts.sum(1) == 40).all() and (counts == counts.round()).all()
    assert counts.mean(0) == pytest.approx(np.ones(40), rel=0.2)
    assert counts.var(0).mean() == pytest.approx(39 / 40, rel=0.1)  # of a multinomial
    assert np.array_equal(counts, resampling(torch.arange(40) * 7, seed=1, resamples=500))
    assert not np.array_equal(counts, resampling(torch.arange(40), seed=2, resamples=500))
    grouped = resampling(torch.tensor([5, 5, 2, 2, 2]), seed=0, resamples=50)
    assert np.array_equal(grouped[:, 0], grouped[:, 1]) and np.array_equal(grouped[:, 2], grouped[:, 4])
    of_images = torch.tensor([[[1.0], [1.0], [0.0], [0.0], [0.0]]])
    assert set(mean_measure(of_images, grouped).samples.flatten().round(6)) == {0.0, 0.4, 1.0}


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    random, counts = np.random.default_rng(0), resampling(torch.arange(120), seed=0, resamples=1000)
    worlds = torch.from_numpy(random.random((400, 120, 1)) < 0.7).double()  # so many "sources"
    low, high = mean_measure(worlds, counts).interval()
    covered = ((low <= 0.7) & (high >= 0.7)).mean()
    assert 0.91 < covered < 0.98


def test_calibration_error_by_hand() -> None:
    confidence = torch.tensor([0.9, 0.9, 0.55, 0.6])[None, :, None]  # bins 13, 13, 8, 9
    right = torch.tensor([1.0, 0.0, 1.0, 1.0])[None, :, None]
    counts = np.array([[1.0, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 4]])
    by_hand = [(0.8 + 0.45 + 0.4) / 4, 0.4, 0.4]
    found = calibration_measure(confidence, right, counts)
    assert found.value.item() == pytest.approx(by_hand[0], abs=1e-6)
    shifted = np.array(by_hand) - np.mean(by_hand) + by_hand[0]
    assert found.samples[:, 0, 0] == pytest.approx(shifted, abs=1e-6)
    sure = calibration_measure(torch.ones(1, 4, 1), torch.ones(1, 4, 1), counts)  # the last bin holds 1
    assert sure.value.item() == 0 and sure.samples.max() == 0


def test_seen_pixels_are_those_of_a_canvas() -> None:
    corners = torch.randint(-2, 11, (7, 5, 2), generator=torch.Generator().manual_seed(0))
    places = places_at(corners, 4)
    for t, found in enumerate(seen_pixels(places, GEOMETRY), start=1):
        total = 0
        for sequence in places[:, :t].tolist():
            inside = {
                (row + r, col + c) for row, col, _ in sequence for r in range(4) for c in range(4)
            } & set(itertools.product(range(12), repeat=2))
            total += len(inside)
        assert found == pytest.approx(total / 7)


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> list[Masks]:
    """A judge that is as sure of the right label as the first row of a mask says; what it was asked."""
    asked = list[Masks]()

    def judge(dataset: DataSet, masks: Masks, settings: JudgeSettings) -> Tensor:
        asked.append(masks)
        sure = 0.3 + masks.locations[..., 0] / 40 + 0.01 * masks.locations[..., 1]  # (S, N, T)
        labels = masks.split.labels[masks.rows][:, None, None]
        hit = labels == torch.arange(4)  # (N, 1, 4)
        return torch.where(hit, sure[..., None], (1 - sure[..., None]) / 3).log()

    monkeypatch.setattr(boed.comparison.compare, "judge", judge)
    return asked


def compared(*sources: Source, dataset: DataSet = DATASET) -> Comparison:
    return compare(dataset, GEOMETRY, sources, SETTINGS)


def test_figures_are_means_over_the_common_images(oracle: list[Masks]) -> None:
    first, second = source("a", "design", 1), source("b", "fixed-order", 2, DESIGN.ids[5:40])
    found = compared(first, second)
    assert found.images == {"label": 35} and found.names == ("a", "b")
    assert torch.equal(oracle[0].rows, torch.arange(5, 40))
    for s, locations in enumerate((first.locations[5:40], second.locations)):
        sure = (0.3 + locations[..., 0] / 40 + 0.01 * locations[..., 1]).double()
        assert found.measures["nll"].value[s] == pytest.approx((-sure.log()).mean(0).tolist(), rel=1e-5)
        assert (found.measures["accuracy"].value[s] == 1).all()
        assert found.pixels[s].tolist() == [16, 32, 48]
    assert found.differences["a"]["nll"].value[:3] == pytest.approx(
        found.measures["nll"].value[0] - found.measures["nll"].value[1]
    )
    gaps = found.differences["a"]["nll"]
    assert gaps.value[3] == pytest.approx(gaps.value[:3].mean())
    assert gaps.samples[:, 3] == pytest.approx(gaps.samples[:, :3].mean(1))
    assert set(found.differences) == {"a"}


def test_equal_sequences_differ_by_exactly_nothing() -> None:
    one = source("fixed-order", "fixed-order")
    found = compared(one, replace(one, name="design", kind="design"))  # judged by the real judge
    for measure in ("accuracy", "nll"):
        assert (found.differences["design"][measure].value == 0).all()
        assert (found.differences["design"][measure].samples == 0).all()
        assert found.measures[measure].value[0].tolist() == found.measures[measure].value[1].tolist()
    assert "does not beat the fixed order" in sentence(found)


def test_differences_are_paired(oracle: list[Masks]) -> None:
    """A source that is a little better at every image: its interval does not see how images differ."""
    fixed = source("fixed-order", "fixed-order")
    better = Source("design", "design", fixed.ids, fixed.locations + torch.tensor([0, 1, 0]))
    gap = compared(fixed, better).differences["design"]["nll"]
    low, high = gap.interval()
    own_low, own_high = compared(fixed, better).measures["nll"].interval()
    assert (high < 0).all() and (high - low < (own_high - own_low)[0].max() / 4).all()


def test_fewer_glimpses_and_other_images(oracle: list[Masks]) -> None:
    ids, locations = common([source("a", "design"), source("b", "random", steps=2)])
    assert locations.shape == (2, COUNT, 2, 3) and torch.equal(ids, DESIGN.ids)
    with pytest.raises(StoreError, match="found none in common of 10 of a, 20 of b"):
        compared(source("a", "design", ids=DESIGN.ids[:10]), source("b", "random", ids=DESIGN.ids[10:30]))
    with pytest.raises(StoreError, match=r"found none of \[2, 5\]; use the same --data-root"):
        compared(source("a", "design", ids=torch.tensor([1, 2, 4, 5])))
    assert oracle == []


def test_json_has_every_figure_and_comes_back(oracle: list[Masks]) -> None:
    timed = replace(source("design", "design", 1), seconds=0.5)
    found = compared(timed, source("fixed-order", "fixed-order", 2)).to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["dataset"] == "pointer" and found["target"] == "label" and found["images"] == COUNT
    assert set(found["sources"]) == {"design", "fixed-order"}
    one = found["sources"]["design"]
    assert one["seconds_per_sequence"] == 0.5
    assert found["sources"]["fixed-order"]["seconds_per_sequence"] is None
    for measure in ("accuracy", "nll", "calibration_error"):
        assert set(one[measure]) == {"1", "2", "3"}
        for value in one[measure].values():
            assert value["low"] <= value["value"] + 1e-12 and value["value"] <= value["high"] + 1e-12
    assert one["pixels"] == {"1": 16, "2": 32, "3": 48}
    assert found["difference"]["design"]["minus"] == "fixed-order"
    assert set(found["difference"]["design"]["nll"]) == {"1", "2", "3", "mean"}


def test_an_average_over_targets(oracle: list[Masks]) -> None:
    one = compared(source("design", "design", 1), source("fixed-order", "fixed-order", 2))
    other = compared(
        source("random", "random", 3),
        source("fixed-order", "fixed-order", 4),
        source("design", "design", 5),
        dataset=pointer_dataset(target="other"),
    )
    found = average([one, other])
    assert found.images == {"label": COUNT, "other": COUNT} and found.names == ("design", "fixed-order")
    nll = [one.measures["nll"], other.measures["nll"].at([2, 1])]
    assert found.measures["nll"].value == pytest.approx((nll[0].value + nll[1].value) / 2)
    assert found.measures["nll"].samples == pytest.approx((nll[0].samples + nll[1].samples) / 2)
    gaps = [each.differences["design"]["nll"].value for each in (one, other)]
    assert found.differences["design"]["nll"].value == pytest.approx((gaps[0] + gaps[1]) / 2)
    assert found.to_json()["targets"] == ["label", "other"]
    widths = [high - low for low, high in (each.measures["nll"].interval() for each in (one, found))]
    assert (widths[1] < 1.2 * widths[0]).all()
    with pytest.raises(SettingsError, match="expected a source that all targets have, found design"):
        average([one, compared(source("random", "random"))])


def difference(value: float, half: float) -> Measure:
    return Measure(np.array(value), np.linspace(value - half, value + half, 201))


@pytest.mark.parametrize(
    ("accuracy", "nll", "words"),
    [
        ((0.02, 0.01), (-0.1, 0.2), "beats the fixed order"),
        ((0.0, 0.01), (-0.1, 0.05), "beats the fixed order"),
        ((0.01, 0.02), (-0.01, 0.02), "does not beat the fixed order"),
        ((-0.02, 0.01), (0.0, 0.1), "is worse than the fixed order"),
        ((0.0, 0.1), (0.1, 0.05), "is worse than the fixed order"),
        ((0.02, 0.01), (0.1, 0.05), "beats the fixed order in one figure and loses in the other"),
    ],
)
def test_the_verdict(accuracy: tuple[float, float], nll: tuple[float, float], words: str) -> None:
    assert verdict(difference(*accuracy), difference(*nll)) == words


def test_the_sentence_says_the_intervals(oracle: list[Masks]) -> None:
    fixed = source("fixed-order", "fixed-order")
    better = Source("design", "design", fixed.ids, fixed.locations + torch.tensor([0, 1, 0]))
    said = sentence(compared(better, fixed))
    assert said.startswith("On pointer label the adaptive design beats the fixed order: averaged over 1 to 3")
    assert said.count(" to ") == 3 and "+0.0 (+0.0 to +0.0) points" in said
    assert "no fixed order" in sentence(compared(better))
    assert "no adaptive design" in sentence(compared(fixed, source("random", "random")))
    other = replace(better, name="published", kind="published")
    assert "published beats the fixed order" in sentence(compared(fixed, other))
    assert "published" not in sentence(compared(fixed, other, better))
    two = compared(fixed, replace(better, name="design (a)"), replace(better, name="design (b)"))
    assert "the adaptive design (a) beats" in sentence(two) and "the adaptive design (b)" in sentence(two)
    assert "The fixed order is" not in sentence(two)
    wide = sentence(compared(better, fixed, replace(fixed, name="fixed-order (wide)")))
    assert wide.endswith(" The fixed order is fixed-order.")


def test_the_table_has_a_line_for_every_source_and_glimpse(oracle: list[Masks]) -> None:
    timed = replace(source("design", "design", 1), seconds=0.25)
    lines = table(compared(timed, source("random", "random"))).splitlines()
    assert len(lines) == 2 + 2 * 3 + 1 and lines[0] == f"pointer: {COUNT} images of label"
    assert lines[2].split()[:3] == ["design", "1", "100.0"] and lines[7].split()[-1] == "48"
    assert lines[-1] == "time: design 0.25 s per sequence"


def test_a_judge_that_does_not_know_a_glance_is_refused_before_it_learns() -> None:
    glancing = replace(GEOMETRY, first_glance=True)
    settings = replace(SETTINGS, posterior="avp-cnn")
    with pytest.raises(SettingsError, match="glimpse-set .* with --first-glance, found avp-cnn"):
        compare(DATASET, glancing, [source("a", "design")], settings)
