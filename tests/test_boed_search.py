"""Designs on a fitted task in which the second place depends on what the first one shows."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from boed_tiny import FINE, PLACES, POINTER, pointer_split
from torch import Tensor

import boed.search.shrinkage
from boed.approximations import Approximations
from boed.combination import Combination
from boed.estimators.bank_belief import BankBelief
from boed.estimators.registry import SCORES
from boed.generation import generate
from boed.search.choices import SEARCHES
from boed.search.designer import Designer, History, image_noise
from boed.search.registry import SOURCES
from boed.search.shrinkage import AverageMaps
from data.dataset import Split
from data.sequences import Sequences

STEPS = 3
WAYS = [(way, score) for way in SEARCHES for score in SCORES if way == "greedy" or score != "information"]


@pytest.fixture(scope="module")
def unseen() -> Split:
    return pointer_split(80, seed=77)


@pytest.fixture(scope="module")
def designer(pointer_fit: Approximations) -> Designer:
    return Designer(pointer_fit)


def made(
    designer: Designer, split: Split, source: str, rows: Tensor | None = None, seed: int = 0
) -> Sequences:
    rows = torch.arange(len(split)) if rows is None else rows
    return SOURCES[source](designer, split, rows, STEPS, seed)


@torch.no_grad()
def realised(learned: Approximations, split: Split, locations: Tensor) -> Tensor:
    """(T,) mean of -log q(label | first t glimpses)."""
    rows = torch.arange(len(split))
    glimpses = learned.geometry.retina()(split.images, rows, locations)
    totals = learned.q.embed(glimpses, learned.geometry.centres(locations)).cumsum(1)
    logits = learned.q.logits(totals, torch.arange(1, STEPS + 1))
    return -logits.log_softmax(-1)[rows, :, split.labels].mean(0)


def places_of(designs: Sequences) -> Tensor:
    """(B, T) numbers of the grid's places."""
    return (designs.locations[..., None, :] == PLACES).all(-1).long().argmax(-1)


def same(one: Sequences, other: Sequences, rows: Tensor) -> bool:
    """Bit for bit, in the precision of the store."""
    pairs = [(getattr(one, field.name)[rows], getattr(other, field.name)) for field in fields(Sequences)]
    return all(torch.equal(a.float().nan_to_num(-1), b.float().nan_to_num(-1)) for a, b in pairs)


def test_the_design_reads_the_pointer_and_goes_where_it_points(designer: Designer, unseen: Split) -> None:
    places = places_of(made(designer, unseen, "design"))
    assert (places[:, 0] == POINTER).all()
    assert designer.learned.weights[1] > 0
    pointed = torch.tensor(FINE)[unseen.labels // 2]
    assert (places[:, 1] == pointed).float().mean() > 0.9


def test_adapting_pays(designer: Designer, unseen: Split) -> None:
    losses = {
        name: realised(designer.learned, unseen, made(designer, unseen, name).locations) for name in SOURCES
    }
    assert losses["design"][1] < losses["fixed-order"][1] - 0.1
    assert losses["fixed-order"][1] < losses["random"][1] - 0.1
    assert losses["design"][0].item() == pytest.approx(math.log(2), abs=0.15)  # the pointer is one bit of two


def test_predicted_scores_are_close_to_realised_ones(designer: Designer, unseen: Split) -> None:
    found = made(designer, unseen, "design")
    assert found.epe[:, 0].mean().item() == pytest.approx(
        realised(designer.learned, unseen, found.locations)[0].item(), abs=0.1
    )


@pytest.mark.parametrize("source", SOURCES)
def test_an_image_has_its_sequence_whatever_the_batch(
    designer: Designer, unseen: Split, source: str, pointer_fit: Approximations
) -> None:
    """Alone, in another order, in a part of the split, and with a designer of its own."""
    together = made(designer, unseen, source)
    for row in (0, 17, 79):
        assert same(together, made(designer, unseen, source, torch.tensor([row])), torch.tensor([row]))
    backwards = torch.arange(79, -1, -1)
    assert same(together, made(designer, unseen, source, backwards), backwards)
    some = torch.tensor([3, 9, 40, 41, 60])
    assert same(together, made(Designer(pointer_fit), unseen.take(some), source), some)


@pytest.mark.parametrize("source", SOURCES)
def test_sequences_are_consistent(designer: Designer, unseen: Split, source: str) -> None:
    found = made(designer, unseen, source)
    places = places_of(found)
    assert torch.equal(PLACES[places], found.locations)
    assert all(len(set(row)) == STEPS for row in places.tolist())
    assert found.entropy.shape == (80, STEPS + 1)
    assert (found.entropy >= 0).all() and (found.entropy <= math.log(4) + 1e-9).all()
    shares = torch.bincount(designer.bank.labels).double() / len(designer.bank)
    assert torch.equal(found.entropy[:, 0], -(shares * shares.log()).sum().expand(80))


@pytest.mark.parametrize("source", ["design", "fixed-order"])
def test_the_map_explains_the_choice(designer: Designer, unseen: Split, source: str) -> None:
    found = made(designer, unseen, source)
    chosen = (designer.learned.places == found.locations[..., None, :]).all(-1).long().argmax(-1)
    assert torch.equal(found.epe_map.argmin(2), chosen)
    assert torch.equal(found.epe_map.gather(2, chosen[..., None])[..., 0], found.epe)
    for step in range(STEPS):
        taken = torch.zeros(80, 9, dtype=torch.bool).scatter(1, chosen[:, :step], True)
        assert torch.equal(found.epe_map[:, step].isinf(), taken)


@torch.no_grad()
def test_own_map_scores_one_glimpse_more(designer: Designer, unseen: Split) -> None:
    history = History(designer, unseen, torch.arange(5), seed=0)
    history.look(torch.full((5,), 3))
    learned, belief = designer.learned, history.belief
    assert isinstance(belief, BankBelief)
    weights = belief.weights(history.total)
    drawn = belief.completion.draw(weights, designer.completions, image_noise(unseen.ids[:5], STEPS, 0)[:, 0])
    for row, found in enumerate(history.own_map()):
        total, statistics = history.total[row].float(), designer.bank.statistics(drawn[row])
        losses = -learned.q.logits(total + statistics, 2).log_softmax(-1)
        labels = designer.bank.labels[drawn[row]]
        expected = losses.gather(2, labels[:, None, None].expand(-1, 9, 1)).mean((0, 2)).double()
        expected[3] = torch.inf
        assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_weights_mix_the_own_map_with_the_average(designer: Designer, unseen: Split) -> None:
    history = History(designer, unseen, torch.arange(5), seed=0)
    assert torch.equal(history.own_map(), history.average_map())  # before anything is seen
    history.look(torch.full((5,), POINTER))
    average, own = history.average_map(), history.own_map()
    assert torch.equal(history.score_map(0.0), average) and torch.equal(history.score_map(1.0), own)
    free = [place for place in range(9) if place != POINTER]
    mixed = history.score_map(0.3)
    assert torch.allclose(mixed[:, free], 0.7 * average[:, free] + 0.3 * own[:, free])
    assert mixed[:, POINTER].isinf().all() and (own - average)[:, free].abs().max() > 0.05


def test_without_shrinkage_the_own_map_is_taken_as_it_is(pointer_fit: Approximations, unseen: Split) -> None:
    learned = replace(pointer_fit, weights=(0.0, 0.1, 0.2))
    assert Designer(learned).weights == (0.0, 0.1, 0.2)
    plain = Designer(learned, shrink=False)
    assert plain.weights == (1.0,) * STEPS
    history = History(plain, unseen, torch.arange(80), seed=0)
    found = made(plain, unseen, "design")
    for step, places in enumerate(places_of_codebook(plain, found).T):
        assert torch.equal(history.own_map(), found.epe_map[:, step])
        history.look(places)


def places_of_codebook(designer: Designer, designs: Sequences) -> Tensor:
    """(B, T) numbers in the codebook."""
    return (designs.locations[..., None, :] == designer.learned.places).all(-1).long().argmax(-1)


def test_a_bank_that_is_not_kept_gives_the_same_designs(
    designer: Designer, pointer_fit: Approximations, unseen: Split
) -> None:
    frugal = Designer(replace(pointer_fit), memory_gb=0)
    assert designer.bank.kept and not frugal.bank.kept
    one, other = (made(d, unseen, "design") for d in (designer, frugal))
    assert torch.equal(one.locations, other.locations)
    assert torch.allclose(one.epe_map, other.epe_map, atol=1e-5)


@pytest.mark.parametrize(("search", "score"), WAYS)
def test_every_search_designs_image_by_image(
    pointer_fit: Approximations, unseen: Split, search: str, score: str
) -> None:
    """The properties of any design: distinct places, the same in any batch; and settings that name it."""
    designer = Designer(replace(pointer_fit, combination=Combination(score=score)), search=search)
    together, some = made(designer, unseen, "design", torch.arange(12)), torch.tensor([7, 2])
    assert same(together, made(designer, unseen, "design", some), some)
    chosen = places_of_codebook(designer, together)
    assert all(len(set(row)) == STEPS for row in chosen.tolist())
    assert torch.equal(together.epe_map.gather(2, chosen[..., None])[..., 0], together.epe)
    assert together.epe.isfinite().all()
    assert designer.settings["search"] == search and designer.settings["score"] == score
    assert designer.settings["shrink"] == (search == "greedy")


def test_entropy_is_that_of_q(designer: Designer, unseen: Split) -> None:
    for source in SOURCES:
        found = made(designer, unseen, source)
        learned, rows = designer.learned, torch.arange(80)
        with torch.no_grad():
            glimpses = learned.geometry.retina()(unseen.images, rows, found.locations)
            totals = learned.q.embed(glimpses, learned.geometry.centres(found.locations)).cumsum(1)
            p = learned.q.logits(totals, torch.arange(1, STEPS + 1)).softmax(-1)
        assert torch.allclose(found.entropy[:, 1:].float(), torch.special.entr(p).sum(-1), atol=1e-4)


def test_fixed_order_is_the_same_for_all(designer: Designer, unseen: Split) -> None:
    found = made(designer, unseen, "fixed-order")
    assert (found.locations == found.locations[0]).all()
    assert (found.epe_map == found.epe_map[0]).all()
    assert torch.equal(found.locations, made(designer, unseen, "fixed-order", seed=5).locations)


def test_fixed_order_is_of_the_whole_bank(
    pointer_fit: Approximations, unseen: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where other average maps are of a sample."""
    monkeypatch.setattr(boed.search.shrinkage, "REFERENCE_ROWS", 9 * 10)
    designer = Designer(pointer_fit)
    found = made(designer, unseen, "fixed-order")
    history = torch.zeros(1, 0, dtype=torch.int64)
    for step, place in enumerate(places_of_codebook(designer, found)[0]):
        expected = AverageMaps(designer.bank, designer.score, whole=True)(history)[0]
        sampled = designer.average(history)[0]
        free = found.epe_map[0, step].isfinite()
        assert torch.equal(found.epe_map[0, step][free], expected[free])
        assert torch.equal(sampled, expected) == (step == 0)  # the first map is common to all images
        history = torch.cat([history, place.view(1, 1)], 1)


def test_random_sequences_depend_on_seed_and_id_alone(designer: Designer, unseen: Split) -> None:
    found = made(designer, unseen, "random")
    moved = Split(unseen.images.flip(0), unseen.labels, unseen.ids, "")  # other pixels, the same ids
    assert torch.equal(made(designer, moved, "random").locations, found.locations)
    assert not torch.equal(made(designer, unseen, "random", seed=1).locations, found.locations)
    shares = torch.bincount(places_of(found).flatten(), minlength=9) / 240
    assert shares.min() > 0.04 and shares.max() < 0.2
    assert found.epe.isnan().all() and found.epe_map.shape == (80, STEPS, 0)


def test_completions_depend_on_the_seed(designer: Designer, unseen: Split) -> None:
    noise = image_noise(unseen.ids, STEPS, 0)
    assert noise.shape == (80, STEPS) and (noise >= 0).all() and (noise < 1).all()
    assert torch.equal(image_noise(unseen.ids[30:40], STEPS, 0), noise[30:40])
    assert noise[3].tolist() == np.random.default_rng([0, int(unseen.ids[3])]).random(STEPS).tolist()
    assert len(noise.unique()) == 240 and not torch.equal(image_noise(unseen.ids, STEPS, 1), noise)
    one, other = (made(designer, unseen, "design", seed=seed) for seed in (0, 1))
    assert not torch.equal(one.epe_map, other.epe_map)


class Kept:
    """A sink in memory."""

    def __init__(self, ids: Tensor, done: Tensor) -> None:
        self.ids, self.done, self.written = ids, done, dict[int, Tensor]()

    def pending(self) -> Tensor:
        return (~self.done).nonzero().view(-1)

    def write(self, rows: Tensor, sequences: Sequences) -> None:
        self.written |= dict(zip(rows.tolist(), sequences.locations, strict=True))


def test_generate_fills_what_is_pending(designer: Designer, unseen: Split) -> None:
    sink = Kept(unseen.ids[10:60], torch.arange(50) < 15)
    generate(designer, unseen, sink, glimpses=STEPS)
    assert sorted(sink.written) == list(range(15, 50))
    expected = made(designer, unseen, "design").locations
    assert all(torch.equal(found, expected[10 + row]) for row, found in sink.written.items())
