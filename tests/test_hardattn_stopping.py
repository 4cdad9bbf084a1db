"""Stopping rules against arrays made by hand."""

import pytest
import torch

from hardattn.stopping import curve, fixed, predicted_gain, quantile_thresholds

GAINS = torch.tensor([[0.0, 0.5, 0.1], [9.0, 0.1, 0.5], [0.0, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(-1.0, [3, 3, 3]), (0.2, [2, 1, 3]), (0.3, [2, 1, 3]), (0.4, [2, 1, 1]), (9.0, [1, 1, 1])],
)
def test_stops_before_the_first_glimpse_that_promises_too_little(
    threshold: float, expected: list[int]
) -> None:
    assert predicted_gain(GAINS, threshold).tolist() == expected


def test_first_glimpse_is_always_taken() -> None:
    assert predicted_gain(GAINS[:, :1], 100.0).tolist() == [1, 1, 1]


def test_curve_by_hand() -> None:
    right, wrong = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    rows = ([wrong, right, wrong], [right, wrong, wrong], [wrong, wrong, right])
    logits = torch.stack([torch.stack(row) for row in rows])
    points = curve(GAINS, logits, torch.zeros(3, dtype=torch.int64), 2.0, [0.2])
    assert [(p.rule, p.threshold, p.mean_glimpses, p.mflops) for p in points] == [
        ("fixed", 1.0, 1.0, 2.0),
        ("fixed", 2.0, 2.0, 4.0),
        ("fixed", 3.0, 3.0, 6.0),
        ("gain", 0.2, 2.0, 4.0),
    ]
    assert [p.accuracy for p in points] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])
    assert points[-1].nll == pytest.approx(0.126928, abs=1e-5)  # log(1 + exp(-2))


def test_fewer_glimpses_with_a_higher_threshold() -> None:
    gains = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    thresholds = quantile_thresholds(gains)
    taken = [predicted_gain(gains, value).sum().item() for value in thresholds]
    assert thresholds == sorted(thresholds) and taken == sorted(taken, reverse=True)
    assert taken[0] == fixed(gains, 6).sum().item()


def test_no_thresholds_from_a_single_glimpse() -> None:
    assert quantile_thresholds(torch.zeros(4, 1)) == []
