"""Designs whose first glimpse is a glance: what q, the completions and the average map are given of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from boed_tiny import GEOMETRY, pointer_dataset
from click.testing import CliRunner
from torch import Tensor

import boed.cli.main
import boed.fitting.posterior_fit
import boed.fitting.training
from boed.approximations import Approximations
from boed.cli.fit_options import fit_arguments
from boed.combination import Combination
from boed.comparison.compare import compare
from boed.comparison.masks import look
from boed.comparison.settings import JudgeSettings
from boed.comparison.stores import by_target, geometry_of, sources_of
from boed.completions.retrieval import SAMPLE_SIZE, tempered
from boed.estimators.bank_belief import BankBelief
from boed.fitting.fit import fit
from boed.fitting.posterior_fit import informed, on_policy
from boed.generation import candidates_of, design_settings, generate
from boed.pictures.sequences import draw_sequences
from boed.posteriors.posterior import Posterior
from boed.search.designer import Designer, History, design_sequences
from boed.search.diagnostics import sample_sizes
from boed.search.registry import SOURCES
from data.errors import CheckpointError, SettingsError
from data.geometry import Geometry
from data.glance import thumbnails
from data.measures import seen_pixels
from data.places import is_whole, whole_image
from supervision.store import SequenceStore

DATASET, GLANCING = pointer_dataset(train=100), replace(GEOMETRY, first_glance=True)
TINY: dict[str, Any] = {"iterations": 24, "width": 8}
DESIGN = DATASET["design"]
WHOLE = whole_image(GEOMETRY.image_size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("glancing")


@pytest.fixture(scope="module")
def learned(folder: Path) -> Approximations:
    return fit(DATASET, folder, geometry=GLANCING, **TINY)


@pytest.fixture(scope="module")
def designer(learned: Approximations) -> Designer:
    return Designer(learned)


def begun(designer: Designer, rows: Tensor) -> History:
    """Images after their glance."""
    history = History(designer, DESIGN, rows, seed=0)
    history.look(history.choose(0.0)[0])
    return history


def test_the_glance_is_the_last_place(learned: Approximations, folder: Path) -> None:
    assert is_whole(learned.places, GEOMETRY).tolist() == [False] * 9 + [True]
    assert learned.glance == 9
    again = fit(DATASET, folder)
    assert again.geometry == GLANCING and again.digest() == learned.digest()


def test_q_is_trained_on_histories_that_start_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Tensor]()

    forward = Posterior.forward

    def noted(q: Posterior, glimpses: Tensor, centres: Tensor) -> Tensor:
        seen.append(centres)
        return forward(q, glimpses, centres)

    monkeypatch.setattr(Posterior, "forward", noted)
    fit(DATASET, tmp_path, geometry=GLANCING, **TINY)
    assert len(seen) == 24
    assert all((centres[:, 0] > 1).all() and (centres[:, 1:].abs() <= 1).all() for centres in seen)


def test_places_are_drawn_after_it() -> None:
    proposal = torch.tensor([[0.2, 0.3, 0.5, 0.0]])
    generator = torch.Generator().manual_seed(0)
    drawn = informed(proposal, torch.arange(4)[:, None], 4, 3, images=50)(generator)[..., 0]
    assert (drawn[:, 0] == 3).all() and (drawn.sort(1).values == torch.arange(4)).all()
    mixed = on_policy(torch.tensor([[3, 1, 0]]), proposal, torch.arange(4)[:, None], 3, images=50)(generator)[
        ..., 0
    ]
    assert (mixed[:, 0] == 3).all() and (mixed[:, 1:] < 3).all()


@torch.no_grad()
def test_completions_are_weighted_by_the_pixels_of_the_glance(designer: Designer) -> None:
    rows = torch.arange(5)
    history = begun(designer, rows)
    assert isinstance(history.belief, BankBelief)
    own, bank = (thumbnails(split.images, 4).flatten(1).double() for split in (DESIGN, designer.learned.bank))
    distances = (own[rows, None] - bank).square().sum(2)
    torch.testing.assert_close(history.belief.distances, distances)
    found = history.belief.completion.log_weights(history.belief.distances)
    torch.testing.assert_close(found, tempered(distances, SAMPLE_SIZE))


@torch.no_grad()
def test_average_map_and_own_map_are_given_the_glance(designer: Designer) -> None:
    history = begun(designer, torch.arange(5))
    average, own = history.average_map(), history.own_map()
    torch.testing.assert_close(average[0, :9], designer.common_average(torch.tensor([[9]]))[0, :9])
    for found in (average, own):
        assert found[:, 9].isinf().all() and found[:, :9].isfinite().all()
    assert torch.equal(average, average[:1].expand(5, -1))
    assert not torch.equal(own, own[:1].expand(5, -1))  # images differ from the second glimpse on
    with_it = designer.q.embed(
        GLANCING.retina()(DESIGN.images, torch.arange(5), WHOLE.expand(5, 1, 3)).double(),
        torch.full((5, 1, 2), 1.5, dtype=torch.float64),
    )
    torch.testing.assert_close(history.total, with_it[:, 0])


def test_designs_start_with_it_and_do_not_depend_on_the_batch(learned: Approximations) -> None:
    rows, designer = torch.arange(6), Designer(learned)
    together = design_sequences(designer, DESIGN, rows, 3, (0.0, 1.0, 1.0), seed=0)
    assert is_whole(together.locations, GEOMETRY).tolist() == [[True, False, False]] * 6
    assert (together.locations[:, 1] != together.locations[:, 2]).any(1).all()
    assert together.epe.isfinite().all() and together.entropy.isfinite().all()
    torch.testing.assert_close(together.epe[:, 0], together.epe_map[:, 0, 9])
    for row in rows:
        alone = design_sequences(designer, DESIGN, row[None], 3, (0.0, 1.0, 1.0), seed=0)
        assert torch.equal(alone.locations[0], together.locations[row])
        assert torch.equal(alone.epe_map[0], together.epe_map[row])


@pytest.mark.parametrize("search", ["beam", "lookahead"])
def test_other_searches_do_not_return_to_it(learned: Approximations, search: str) -> None:
    designer = Designer(learned, search=search)
    found = design_sequences(designer, DESIGN, torch.arange(3), 3, (1.0,) * 3, seed=0)
    assert is_whole(found.locations, GEOMETRY).tolist() == [[True, False, False]] * 3


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_starts_with_it(designer: Designer, source: str) -> None:
    found = SOURCES[source](designer, DESIGN, torch.arange(4), 3, 0)
    assert is_whole(found.locations, GEOMETRY).tolist() == [[True, False, False]] * 4
    assert (found.locations[:, 1] != found.locations[:, 2]).any(1).all()
    assert found.entropy.shape == (4, 4) and found.entropy.isfinite().all()


def stored(path: Path, designer: Designer, source: str = "design") -> SequenceStore:
    settings = design_settings(DATASET, designer, source=source, seed=0)
    candidates = candidates_of(designer.learned, source)
    store = SequenceStore.write_to(path, settings, DESIGN.ids, 3, candidates)
    generate(designer, DESIGN, store, glimpses=3, source=source)
    return SequenceStore.read(path)


def test_stores_with_and_without_it_are_shown_and_compared(
    tmp_path: Path, designer: Designer, pointer_fit: Approximations
) -> None:
    glancing = stored(tmp_path / "g.h5", designer)
    assert is_whole(glancing.load().locations[:, 0], GEOMETRY).all()
    sample = sample_sizes(designer, DESIGN, torch.arange(4), glancing.load().locations[:4], seed=0)
    assert len(sample) == 2
    shown = glancing.load(torch.arange(2))
    draw_sequences(
        tmp_path / "s.png",
        DESIGN,
        glancing.ids[:2].tolist(),
        shown,
        glancing.candidates,
        GLANCING,
    )
    assert (tmp_path / "s.png").stat().st_size > 0
    plain = stored(tmp_path / "p.h5", Designer(replace(pointer_fit)), "fixed-order")
    plain.settings["fingerprint"] = glancing.settings["fingerprint"]
    stores = [plain, glancing]
    assert geometry_of(stores) == GLANCING and geometry_of(stores[:1]) == GEOMETRY
    (group,) = by_target(stores).values()
    settings = JudgeSettings(iterations=3, width=8)
    found = compare(DATASET, geometry_of(group), sources_of(group), settings)
    assert found.names == ("fixed-order", "design")
    assert found.pixels.tolist() == [[16.0, 32.0, 48.0], [16.0, 32.0, 48.0]]


def test_a_judge_sees_a_mirrored_image_at_a_mirrored_glance() -> None:
    places = WHOLE.expand(2, 1, 3)
    straight, flipped = torch.tensor([False, False]), torch.tensor([True, True])
    one, other = (look(DESIGN, torch.arange(2), places, GLANCING, flip) for flip in (straight, flipped))
    assert torch.equal(one.flip(-1), other)


@pytest.mark.parametrize(
    "chosen",
    [
        Combination(posterior="avp-cnn"),
        Combination(completion="cvae", score="entropy"),
        Combination(completion="proposals", score="entropy"),
    ],
)
@pytest.mark.usefixtures("learned")
def test_parts_that_paste_are_refused(tmp_path: Path, folder: Path, chosen: Combination) -> None:
    with pytest.raises(SettingsError, match="with --first-glance, found"):
        fit(DATASET, tmp_path / "new", geometry=GLANCING, combination=chosen, **TINY)
    assert not (tmp_path / "new").exists()
    if chosen.posterior == "glimpse-set":
        with pytest.raises(SettingsError, match="with --first-glance, found"):
            fit(DATASET, folder, combination=chosen)


def test_one_glimpse_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least 2 glimpses with --first-glance.*found 1"):
        fit(DATASET, tmp_path, geometry=GLANCING, glimpses=1, **TINY)


@pytest.mark.usefixtures("learned")
def test_fit_and_generate_must_agree(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(CheckpointError, match="first_glance = false, found true"):
        fit(DATASET, folder, geometry=GEOMETRY)
    fit(DATASET, tmp_path, **TINY)
    with pytest.raises(CheckpointError, match="first_glance = true, found false"):
        fit(DATASET, tmp_path, geometry=GLANCING)


def test_the_option_makes_the_geometry() -> None:
    given = dict.fromkeys(("bank", "posterior", "completion", "estimator", "score"))
    found = fit_arguments(DATASET, given | {"first_glance": True, "device": "cpu"})
    assert found["geometry"] == GLANCING
    assert fit_arguments(DATASET, given | {"first_glance": None, "device": "cpu"})["geometry"] is None
    assert isinstance(found["geometry"], Geometry)
    for command in ("fit", "generate"):
        assert isinstance(boed.cli.main.main, click.Group)
        assert "--first-glance" in CliRunner().invoke(boed.cli.main.main, [command, "--help"]).output


def test_a_glance_counts_as_many_pixels_as_it_has() -> None:
    places = torch.tensor([[[0, 0, 12], [0, 0, 4], [2, 0, 4]]])
    assert seen_pixels(places, GEOMETRY) == [16.0, 32.0, 40.0]
