"""The picture of completions shows the belief that the search designs with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset
from matplotlib.figure import Figure

import boed.pictures.completions
from boed.approximations import Approximations
from boed.completions.factor_analysis import FactorAnalysis, FactorAnalysisCompletion
from boed.estimators.bank_belief import BankBelief
from boed.pictures.completions import completions_of, draw_completions
from boed.search.designer import Designer, History
from data.places import places_at

DATASET = pointer_dataset()
DESIGN, ROW, CELLS = DATASET["design"], 3, [4, 0, 7]


def test_weights_are_those_of_the_search(pointer_fit: Approximations) -> None:
    history = History(Designer(pointer_fit), DESIGN, torch.tensor([ROW]), seed=0)
    numbers = [int((pointer_fit.places == PLACES[cell]).all(1).nonzero()) for cell in CELLS]
    found = completions_of(pointer_fit, DESIGN, ROW, PLACES[CELLS])
    assert len(found) == 3
    for number, own in zip(numbers, found, strict=True):
        history.look(torch.tensor([number]))
        assert isinstance(history.belief, BankBelief)
        weights = history.belief.weights(history.total)[0].exp()
        shares, rows = weights.topk(6)
        torch.testing.assert_close(own.shares, shares, rtol=1e-4, atol=1e-7)
        assert own.labels is not None
        assert torch.equal(own.labels, pointer_fit.bank.labels[rows])
        assert torch.equal(own.images, pointer_fit.bank.images[rows])


def test_places_may_be_such_that_the_fit_has_none_of_them(pointer_fit: Approximations) -> None:
    places = places_at(torch.tensor([[1, 2], [5, 7]]), GEOMETRY.glimpse_size)
    found = completions_of(pointer_fit, DESIGN, ROW, places, shown=len(pointer_fit.bank))
    assert [float(own.shares.sum()) for own in found] == pytest.approx([1, 1], abs=1e-5)


def test_images_that_are_made_agree_with_what_was_seen(pointer_fit: Approximations) -> None:
    generator = FactorAnalysisCompletion(FactorAnalysis(GEOMETRY, factors=4))
    making = replace(pointer_fit, generator=generator)
    once, again = (completions_of(making, DESIGN, ROW, PLACES[CELLS]) for _ in range(2))
    for t, own in enumerate(once):
        assert own.labels is None and own.shares.tolist() == pytest.approx([1 / 6] * 6)
        assert torch.equal(own.images, again[t].images)
        for row, col, side in PLACES[CELLS[: t + 1]].tolist():
            square = own.images[:, row : row + side, col : col + side]
            assert torch.equal(
                square, DESIGN.images[ROW, row : row + side, col : col + side].expand_as(square)
            )


def test_a_row_shows_what_was_seen_and_its_completions(
    pointer_fit: Approximations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    monkeypatch.setattr(boed.pictures.completions, "figure_of", lambda *size: figure)
    found = completions_of(pointer_fit, DESIGN, ROW, PLACES[CELLS])
    ids = [int(DESIGN.ids[ROW])]
    draw_completions(tmp_path / "a.png", DESIGN, ids, PLACES[CELLS][None], [found], "abcd", GEOMETRY)
    panels = np.array(figure.axes).reshape(3, 7)
    for t, own in enumerate(found):
        drawn = np.asarray(panels[t, 0].images[0].get_array())
        seen = np.zeros((12, 12), bool)
        for row, col, side in PLACES[CELLS[: t + 1]].tolist():
            seen[row : row + side, col : col + side] = True
        assert (
            np.array_equal(drawn[seen], DESIGN.images[ROW, ..., 0].numpy()[seen])
            and (drawn[~seen] == 96).all()
        )
        for axes, image, share in zip(panels[t, 1:], own.images, own.shares, strict=True):
            assert np.array_equal(np.asarray(axes.images[0].get_array()), image[..., 0])
            assert axes.get_title().endswith(f": {100 * share:.1f} %") and len(axes.patches) == t + 1
