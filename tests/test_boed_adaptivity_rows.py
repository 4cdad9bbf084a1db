"""The bank images that adaptivity is estimated on have no part in what their own maps must beat."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import boed.search.adaptivity
from boed.approximations import Approximations
from boed.search.adaptivity import estimate_adaptivity
from boed.search.designer import Designer, History
from boed.search.shrinkage import choose_weight


@torch.no_grad()
def realised(learned: Approximations, rows: Tensor, places: Tensor) -> Tensor:
    """(B, L) of -log q(label) after the places (t,) and one more, each glimpse embedded anew."""
    columns = []
    for place in range(len(learned.places)):
        looked = torch.cat([places, torch.tensor([place])]).expand(len(rows), -1)
        glimpses = learned.geometry.retina()(learned.bank.images, rows, learned.places[looked])
        centres = learned.geometry.centres(learned.places[looked])
        logits = learned.q.logits(learned.q.embed(glimpses, centres).sum(1), looked.shape[1])
        columns.append(-logits.log_softmax(1).gather(1, learned.bank.labels[rows, None])[:, 0])
    return torch.stack(columns, 1).double()


def of_others(learned: Approximations, rows: Tensor, seen: Tensor) -> Tensor:
    """(B, L) average maps of bank images after places (B, t), each over all images but itself."""
    everyone, maps = torch.arange(len(learned.bank)), torch.zeros(len(rows), len(learned.places)).double()
    for places in seen.unique(dim=0):
        losses, here = realised(learned, everyone, places), (seen == places).all(1)
        maps[here] = torch.stack([losses[everyone != row].mean(0) for row in rows[here]])
    return maps.scatter(1, seen, torch.inf)


class Watched:
    """The average maps that weights are chosen against, and the places that are looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, images: int) -> None:
        self.averages, self.places = list[Tensor](), list[Tensor]()
        look = History.look

        def chosen(average: Tensor, *others: Any) -> float:
            if len(average) == images:  # and not a half of them
                self.averages.append(average)
            return choose_weight(average, *others)

        def looked(history: History, places: Tensor) -> None:
            self.places.append(places)
            look(history, places)

        monkeypatch.setattr(boed.search.adaptivity, "choose_weight", chosen)
        monkeypatch.setattr(History, "look", looked)


def test_the_average_map_that_an_image_must_beat_is_that_of_the_others(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, watched = torch.arange(0, 168, 4), Watched(monkeypatch, 42)
    estimate_adaptivity(pointer_fit, 7, rows=rows)
    first, second = watched.averages[:2]
    whole = Designer(pointer_fit).common_average
    assert torch.equal(first, whole(torch.zeros(len(rows), 0).long()))  # where there is nothing to choose
    expected = of_others(pointer_fit, rows, watched.places[0][:, None])
    assert torch.equal(second.isinf(), expected.isinf())
    assert (second - expected)[expected.isfinite()].abs().max() < 1e-5
    with_itself = whole(watched.places[0][:, None])
    assert (with_itself - expected)[expected.isfinite()].abs().max() > 1e-3


def test_where_no_own_map_counts_all_images_look_alike(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixed order is that of the average over all: leaving an image out is for choosing the weight."""
    watched = Watched(monkeypatch, 42)
    monkeypatch.setattr(boed.search.adaptivity, "choose_weight", lambda *_: 0.0)
    estimate_adaptivity(pointer_fit, 7, rows=torch.arange(0, 168, 4))
    assert all(len(places.unique()) == 1 for places in watched.places) and len(watched.places) == 3


def test_an_image_that_decides_the_average_alone_does_not_decide_for_itself(
    pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an average over two images each is half: without itself it has the map of the other one."""
    few = replace(pointer_fit, bank=pointer_fit.bank.take(torch.tensor([0, 1])))
    watched = Watched(monkeypatch, 2)
    estimate_adaptivity(few, 7, rows=torch.arange(2))
    place = watched.places[0][:1]
    losses = realised(few, torch.arange(2), place).scatter(1, place.expand(2, 1), torch.inf)
    finite = losses.isfinite()
    assert torch.allclose(watched.averages[1].flip(0)[finite], losses[finite], atol=1e-4)
