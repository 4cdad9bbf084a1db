"""Figures of ways to stop, and intervals: against the same figure of every resample, drawn out."""

from time import process_time

import numpy as np
import pytest
import torch
from torch import Tensor

from data.device import one_thread
from data.measures import resampling
from data.readout import READ
from hardattn.stopping.figures import MEASURED, Outcome, balanced_measure, figures, right_at
from hardattn.stopping.rules import Stops

GENERATOR = torch.Generator().manual_seed(0)
COUNT, CLASSES = 60, 3
LABELS = torch.randint(CLASSES, (COUNT,), generator=GENERATOR)
COUNTS = resampling(torch.arange(COUNT), seed=0, resamples=200)
BRIEF = {"mean_glimpses", "mflops", "accuracy", "nll"}


def outcome(count: int, classes: int = CLASSES, read: bool = True) -> Outcome:
    taken = torch.randint(1, 6, (count,), generator=GENERATOR)
    log_probs = (2 * torch.randn(count, classes, generator=GENERATOR)).log_softmax(1)
    return Outcome(
        Stops(taken, log_probs), 0.5 * taken.double(), {name: 16 * taken for name in READ} if read else {}
    )


def drawn_out(values: Tensor) -> list[np.ndarray]:
    """(B,) values of the images of every resample, each as often as it is drawn."""
    return [np.repeat(values.numpy(), row.astype(int)) for row in COUNTS]


def test_means_are_resampled_with_their_images() -> None:
    its = [outcome(COUNT), outcome(COUNT)]
    for found, one in zip(figures(its, LABELS, COUNTS), its, strict=True):
        assert set(found) == {*MEASURED, "intervals"} and set(found["intervals"]) == BRIEF | set(MEASURED)
        told = {"mean_glimpses": one.stops.taken, "mflops": one.mflops, **one.read}
        for name, values in told.items():
            assert values is not None
            by_hand = np.quantile([drawn.mean() for drawn in drawn_out(values.double())], [0.025, 0.975])
            assert found["intervals"][name] == pytest.approx(by_hand.tolist())
        assert found["pixels"] == pytest.approx(16 * one.stops.taken.double().mean().item())


def test_balanced_accuracy_of_every_resample() -> None:
    """Of 12 images, 1 of the last class: resamples without it have the mean of two classes."""
    labels = torch.tensor([0, 1] * 5 + [1, 2])
    counts = resampling(torch.arange(12), seed=1, resamples=100)
    right = (torch.rand(4, 12, generator=GENERATOR) < 0.7).double()
    found = balanced_measure(right, labels, counts)
    assert any(row[11] == 0 for row in counts) and any(row[11] > 0 for row in counts)
    for sample, row in zip(found.samples, counts, strict=True):
        recall = [
            (right.numpy() * row)[:, own].sum(1) / row[own].sum()
            for own in (labels.numpy() == name for name in range(3))
            if row[own].sum()
        ]
        assert sample == pytest.approx(np.mean(recall, axis=0))
    alone = balanced_measure(right, labels, np.ones((1, 12)))
    assert found.value == pytest.approx(alone.samples[0])


def test_the_figure_lies_within_its_interval() -> None:
    for found in figures([outcome(COUNT) for _ in range(5)], LABELS, COUNTS):
        for name in MEASURED:
            low, high = found["intervals"][name]
            assert low < found[name] < high


def test_certain_predictions_have_no_width() -> None:
    told = torch.nn.functional.one_hot(LABELS, CLASSES).double().log()
    its = Outcome(
        Stops(torch.full((COUNT,), 2), told), torch.ones(COUNT), {"pixels": torch.full((COUNT,), 32)}
    )
    assert (right_at(its.stops, LABELS) == 1).all()
    (found,) = figures([its], LABELS, COUNTS)
    expected = {"accuracy": 1, "balanced_accuracy": 1, "calibration_error": 0, "pixels": 32, "mflops": 1}
    assert {name: found["intervals"][name] for name in expected} == {n: [v, v] for n, v in expected.items()}


def test_unknown_pixels_are_left_out_and_nothing_is_measured_of_nothing() -> None:
    (found,) = figures([outcome(COUNT, read=False)], LABELS, COUNTS)
    assert "pixels" not in found and "pixels" not in found["intervals"]
    assert figures([], LABELS, COUNTS) == []


def test_a_hundred_and_fifty_points_take_little_time() -> None:
    """1,000 images and as many resamples, in seconds of one core; it takes a fraction of one."""
    counts = resampling(torch.arange(1000), seed=0, resamples=1000)
    its, labels = [outcome(1000, 10) for _ in range(150)], torch.arange(1000) % 10
    start = process_time()
    with one_thread():
        figures(its, labels, counts)
    assert process_time() - start < 3
