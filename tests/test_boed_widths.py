"""Designs that choose how wide to look: from the codebook to stores, pictures and comparisons."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, pointer_dataset
from click.testing import CliRunner
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import boed.cli.main
import boed.pictures.sequences
from boed.approximations import Approximations
from boed.combination import Combination, require_sensor
from boed.comparison.compare import Source, compare
from boed.comparison.settings import JudgeSettings
from boed.comparison.stores import by_target, geometry_of
from boed.designs import design
from boed.estimators.bank import Bank
from boed.fitting.fit import fit, load
from boed.pictures.sequences import draw_sequences
from boed.search.coarse import coarse_places, coarse_to_fine
from boed.search.codebook import choose_mixed, codebook
from boed.search.designer import Designer, History
from boed.search.heuristics import centre_sequences
from boed.search.pooling import PooledSensor, pooled_to
from boed.search.proposal import choose_places, ridge_information, separation
from boed.search.registry import SOURCES
from data.averaging import averages
from data.dataset import Split
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.grey import GREY_STEPS
from data.measures import pixels_by_image, read_pixels
from data.places import jittered, pixels_at
from supervision.store import SequenceStore

DATASET, WIDE = pointer_dataset(train=100), replace(GEOMETRY, sides=(4, 6, 8, 12))
TINY: dict[str, Any] = {"iterations": 24, "width": 8}
DESIGN = DATASET["design"]
JUDGE = JudgeSettings(iterations=4, judges=1, alike=1, width=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wide")


@pytest.fixture(scope="module")
def learned(folder: Path) -> Approximations:
    return fit(DATASET, folder, geometry=WIDE, device="cpu", **TINY)


def test_the_codebook_has_every_side_and_survives_a_file(learned: Approximations, folder: Path) -> None:
    assert set(learned.places[:, 2].tolist()) == {4, 6, 8, 12}
    again = load(folder, DATASET)
    assert again.geometry == WIDE and again.digest() == learned.digest()
    assert torch.equal(again.places, learned.places)
    narrow = replace(again, places=again.places.clone())
    narrow.places[narrow.places[:, 2] == 8, 2] = 6  # what is looked at there is another thing
    assert narrow.digest() != learned.digest()
    with pytest.raises(CheckpointError, match="sides = .., found .4, 6, 8, 12."):
        fit(DATASET, folder, geometry=GEOMETRY)


def test_designs_look_at_squares_of_their_own_side_and_survive_a_store(
    learned: Approximations, tmp_path: Path
) -> None:
    designs = design(learned, DESIGN, images=12)
    store = SequenceStore.read(designs.save(tmp_path / "wide.h5").path)
    assert store.geometry == WIDE and torch.equal(store.candidates, learned.places)
    assert torch.equal(store.load().locations, designs.places)
    numbers = WIDE.grid().index(designs.places)
    assert (numbers.sort(1).values.diff(dim=1) > 0).all()  # no place twice
    chosen = designs.epe_map.argmin(2)
    assert torch.equal(learned.places[chosen], designs.places)


def test_no_bit_of_a_design_depends_on_the_batch(learned: Approximations) -> None:
    """Squares of 6 averaged down to 4 lie between grey levels."""
    history = [
        History(Designer(learned), DESIGN, rows, seed=0) for rows in (torch.arange(5), torch.arange(2, 4))
    ]
    between = int((learned.places[:, 2] == 6).nonzero()[0])
    for one in history:
        one.look(torch.full_like(one.rows, between))
    assert torch.equal(history[0].belief.distances[2:4], history[1].belief.distances)  # type: ignore[attr-defined]
    bank = Bank(learned.q, learned.bank, learned.places, WIDE)
    levels = bank.grey_levels(between) * GREY_STEPS
    assert torch.equal(levels, levels.round()) and torch.equal(bank.grey_levels(between) * GREY_STEPS, levels)


@pytest.mark.parametrize("source", list(SOURCES))
def test_every_source_looks_at_places_of_the_grid(learned: Approximations, source: str) -> None:
    designs = design(learned, DESIGN, images=8, source=source)
    WIDE.grid().index(designs.places)
    assert bool((designs.entropy >= 0).all())


def test_random_places_are_of_every_side_as_often(learned: Approximations) -> None:
    first = design(learned, DESIGN, glimpses=1, source="random").places[:, 0, 2]
    assert len(first) >= 40
    shares = (first[:, None] == torch.tensor(WIDE.sides)).double().mean(0)
    assert bool(((shares - 0.25).abs() < 4 * (0.25 * 0.75 / len(first)) ** 0.5).all())


def test_the_middle_is_that_of_every_square() -> None:
    places = centre_sequences(WIDE, 1, 5)[0]
    assert places[:4].tolist() == [[4, 4, 4], [3, 3, 6], [2, 2, 8], [0, 0, 12]]


def test_after_a_glance_any_side_may_follow(tmp_path: Path) -> None:
    glancing = replace(WIDE, first_glance=True)
    learned = fit(DATASET, tmp_path, geometry=glancing, device="cpu", **TINY)
    assert learned.places[:, 2].eq(12).nonzero().view(-1).tolist() == [len(learned.places) - 1]
    places = design(learned, DESIGN, images=8).places
    assert places[:, 0].tolist() == [[0, 0, 12]] * 8 and bool((places[:, 1:, 2] < 12).all())


@pytest.mark.parametrize(
    "chosen",
    [
        Combination(posterior="avp-cnn"),
        Combination(completion="cvae", score="entropy"),
        Combination(completion="gaussian", score="entropy"),
        Combination(completion="proposals", score="entropy"),
    ],
)
def test_parts_that_paste_pixels_are_refused(tmp_path: Path, chosen: Combination) -> None:
    with pytest.raises(SettingsError, match="with --sides, found"):
        fit(DATASET, tmp_path / "new", geometry=WIDE, combination=chosen, **TINY)
    assert not (tmp_path / "new").exists()


def test_parts_that_enumerate_patterns_are_refused() -> None:
    for part in (Combination(posterior="exact"), Combination(completion="exact")):
        with pytest.raises(SettingsError, match="with --sides, found exact"):
            require_sensor(part, WIDE, 3)


def test_the_amortised_estimator_knows_how_wide_a_glimpse_was(learned: Approximations, folder: Path) -> None:
    amortised = fit(DATASET, folder, combination=Combination(estimator="amortised"))
    places = design(amortised, DESIGN, images=6).places
    WIDE.grid().index(places)


# The codebook.


def test_pooled_wide_squares_are_what_is_gathered_and_pooled() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 48, 48, 3), generator=generator).to(torch.uint8)
    for side, corners in ((24, [[0, 3], [24, 21]]), (48, [[0, 0]]), (12, [[5, 7]]), (16, [[1, 2]])):
        places = torch.tensor([[*corner, side] for corner in corners])
        geometry = Geometry(48, 48, 3, 8, sides=(8, side))
        assert pooled_to(geometry) == 8
        found = PooledSensor(geometry.retina(), places, 8)(images)
        squares = torch.stack([images[:, r : r + side, c : c + side] for r, c in corners])
        expected = averages(squares.flatten(0, 1), 8).view(len(corners), 5, -1).transpose(1, 2) / 255 - 0.5
        ours, theirs = (each.sort(1).values for each in (found[:, :-1], expected))  # in whatever order
        torch.testing.assert_close(ours, theirs, atol=0.5 / 255, rtol=0)


def test_information_of_sides_together_is_that_of_each() -> None:
    split, retina = DATASET["train"], WIDE.retina()
    places = WIDE.grid().locations[
        torch.randperm(len(WIDE.grid()), generator=torch.Generator().manual_seed(0))
    ]
    together = ridge_information(split, places, retina, 4, pooled=4)
    for side in WIDE.sides:
        here = places[:, 2] == side
        assert torch.equal(together[here], ridge_information(split, places[here], retina, 4, pooled=4))


def test_only_places_of_about_the_same_side_keep_apart() -> None:
    places = torch.tensor([[4, 4, 16], [0, 0, 24], [0, 0, 20], [4, 8, 16]])
    apart = separation(places, places)
    assert apart[0, 1] == torch.inf and apart[1, 0] == torch.inf  # one and a half times as wide
    assert apart[2, 0] == 2 / 16 and apart[0, 2] == 2 / 20 and apart[3, 0] == 4 / 16
    chosen = choose_places(torch.tensor([4.0, 3.0, 2.0, 1.0]), places, 4, torch.tensor([0.2, 0.2, 0.2, 0.2]))
    assert chosen.tolist() == [0, 1, 3]


@pytest.mark.parametrize("count", [3, 8, 20])
def test_every_side_has_its_share_and_the_rest_goes_to_the_best(count: int) -> None:
    grid = replace(GEOMETRY, sides=(4, 8)).grid()
    worth = torch.rand(len(grid), generator=torch.Generator().manual_seed(1))
    worth[grid.locations[:, 2] == 8] += 9
    chosen = choose_mixed(worth, grid.locations, count, 0.0)
    sides = grid.locations[chosen, 2]
    sizes = {int(side): int((grid.locations[:, 2] == side).sum()) for side in (4, 8)}
    assert len(chosen) == min(count, len(grid)) and (worth[chosen].diff() <= 0).all()
    assert int((sides == 8).sum()) == min(sizes[8], count - min(count // 2, sizes[4]))


def test_of_one_side_nothing_else_is_chosen_than_the_best() -> None:
    grid = GEOMETRY.grid()
    worth = torch.rand(len(grid), generator=torch.Generator().manual_seed(1))
    for count in (2, 5, 9):
        expected = choose_places(worth, grid.locations, count, 0.75)
        assert torch.equal(choose_mixed(worth, grid.locations, count, 0.75), expected)


def test_large_codebooks_are_mixed() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 96, 96, 1), generator=random).to(torch.uint8)
    split = Split(images, torch.randint(0, 2, (60,), generator=random), torch.arange(60), "")
    geometry = Geometry(96, 96, 1, 8, per_axis=30, sides=(8, 16, 48, 96))
    places, information = codebook(split, torch.arange(60), geometry, places=24, glimpses=5, classes=2)
    counts = {side: int((places[:, 2] == side).sum()) for side in geometry.sides}
    assert len(places) == 24 and counts[96] == 1 and min(counts[8], counts[16], counts[48]) >= 5
    assert (information.diff() <= 0).all()
    geometry.grid().index(places)


# What is searched.


def test_coarse_places_cover_those_of_their_own_side() -> None:
    places = replace(GEOMETRY, per_axis=9, sides=(4, 8, 12)).grid().locations
    coarse = coarse_places(places)
    assert (separation(places, places[coarse]).amin(1) < 0.75).all()
    full = separation(places, places[-2:-1])[None, :, 0].clamp(max=9.0).double()  # a valley at one of side 8
    found = coarse_to_fine(
        lambda wanted: full.masked_fill(~wanted, torch.inf), places, torch.zeros_like(full) > 0
    )
    assert found.argmin() == full.argmin()


def test_at_a_high_price_only_plain_glimpses_are_left(
    learned: Approximations,
) -> None:
    free, dear = (design(learned, DESIGN, images=10, pixel_price=price) for price in (0.0, 100.0))
    assert "pixel_price" not in free.settings["design"] and dear.settings["design"]["pixel_price"] == 100
    assert bool((free.places[..., 2] > 4).any()) and bool((dear.places[..., 2] == 4).all())
    plain = learned.places[:, 2] == 4
    for step in range(dear.places.shape[1]):  # maps have no costs in them: the best of the cheapest is taken
        own = dear.epe_map[:, step].masked_fill(~plain, torch.inf)
        assert torch.equal(learned.places[own.argmin(1)], dear.places[:, step])
    assert float(free.epe_map[:, 0].amin()) == float(dear.epe_map[:, 0].amin())


@pytest.mark.parametrize("coarse", [False, True])
def test_what_is_chosen_gains_most_less_its_cost(learned: Approximations, coarse: bool) -> None:
    price = 1e-3
    designs = design(learned, DESIGN, images=10, pixel_price=price, coarse=coarse)
    cost = price * pixels_at(learned.places, WIDE)
    assert torch.equal(learned.places[(designs.epe_map + cost).argmin(2)], designs.places)


def test_impossible_prices_are_refused(learned: Approximations) -> None:
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(SettingsError, match="price of at least 0 nats"):
            Designer(learned, pixel_price=price)
    with pytest.raises(SettingsError, match="--search greedy with --pixel-price, found beam"):
        Designer(learned, search="beam", pixel_price=1e-3)


def test_beside_a_place_is_as_far_as_it_is_wide() -> None:
    places = torch.tensor([[4, 4, 4], [2, 2, 8], [3, 3, 6], [0, 0, 12]]).expand(200, 4, 3)
    beside = jittered(places, 2, WIDE, torch.Generator().manual_seed(0)) - places
    assert beside[:, 0, :2].unique().tolist() == [-2, -1, 0, 1, 2]
    assert beside[:, 1, :2].unique().tolist() == [-4, -2, 0, 2, 4]
    assert beside[:, 2, :2].unique().tolist() == [-3, -1, 0, 1, 3]
    assert bool((beside[:, 3] == 0).all()) and bool((beside[..., 2] == 0).all())


# Counts, pictures, comparisons.


def test_pixels_are_counted_as_they_are_read_and_as_they_are_seen() -> None:
    places = torch.tensor([[[0, 0, 4], [0, 0, 8], [0, 0, 12]]])
    assert pixels_by_image(places, WIDE).tolist() == [[16, 64, 144]]
    assert read_pixels(places, WIDE) == [16, 80, 224]


def test_a_picture_has_a_frame_for_every_square(
    learned: Approximations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure: Any = Figure()
    monkeypatch.setattr(boed.pictures.sequences, "figure_of", lambda *size: figure)
    designs = design(learned, DESIGN, images=2)
    maps = (designs.sequences, designs.candidates, WIDE)
    draw_sequences(tmp_path / "wide.png", DESIGN, designs.ids.tolist(), *maps)
    boxes = [[each for each in axes.patches if isinstance(each, Rectangle)] for axes in figure.axes]
    drawn = [[box.get_width() for box in each] for each in boxes]
    sides, framed = designs.places[..., 2].tolist(), [each for each in drawn if each]
    assert [framed[0], framed[1 + len(sides[0])]] == sides  # the image, and then a map of each step
    assert framed[1 : 1 + len(sides[0])] == [[side] for side in sides[0]]
    assert (tmp_path / "wide.png").stat().st_size > 0


def test_one_side_and_several_are_judged_together(learned: Approximations, tmp_path: Path) -> None:
    narrow = fit(DATASET, tmp_path / "narrow", device="cpu", **TINY)
    stores = [
        design(fitted, DESIGN, source=source).save(tmp_path / f"{name}.h5")
        for name, fitted, source in (("wide", learned, "design"), ("one", narrow, "fixed-order"))
    ]
    assert list(by_target(stores)) == [DATASET.target] and geometry_of(stores) == WIDE
    sources = [
        Source(str(n), kind, store.ids, store.load().locations)
        for n, (store, kind) in enumerate(zip(stores, ("design", "fixed-order"), strict=True))
    ]
    found = compare(DATASET, geometry_of(stores), sources, JUDGE)
    assert found.values == tuple(16 * t for t in range(1, 1 + found.pixels.shape[1]))
    assert found.pixels[1].tolist() == [16.0 * t for t in range(1, 1 + found.pixels.shape[1])]
    assert found.to_json()["sources"]["0"]["values"]["2"] == 32


def test_from_the_command_line(tmp_path: Path) -> None:
    small = ["--sides", "8,16,40", "--iterations", 4, "--width", 4, "--trial-images", 2, "--glimpses", 2]
    words = ["generate", "--run", tmp_path, "--images", 2, *small, "--pixel-price", "1e-4"]
    result = CliRunner().invoke(boed.cli.main.main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    assert "averaged down in software" in result.output and "by a sensor that bins: 64, 128" in result.output
    store = SequenceStore.read(tmp_path / "sequences-price-0.0001.h5")
    assert store.geometry.sides == (8, 16, 40) and set(store.candidates[:, 2].tolist()) == {8, 16, 40}
    shown = CliRunner().invoke(boed.cli.main.main, ["show", str(store.path)])
    assert shown.exit_code == 0 and store.path.with_suffix(".png").exists()
