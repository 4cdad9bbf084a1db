"""Convergence with and without supervision: figures by hand, the settings in the file, and a tiny run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner
from hardattn_tiny import GEOMETRY, tiny_split, tiny_store

from benchmarks.convergence import command as convergence
from benchmarks.convergence.figures import MEAN, RATIOS, REFERENCE, _compared, _geometric, _interval, figures
from benchmarks.convergence.runs import Work, in_order, published, read_settings, settings_of
from benchmarks.results.tables.convergence import by_methods, by_settings
from benchmarks.sources import ATTRIBUTES
from data.dataset import DataSet
from hardattn.objectives.registry import METHODS
from hardattn.training.recipe import Recipe, require_used
from supervision.store import SequenceStore

SHORT = {"epochs": 4, "patience": 1}
ROWS = [
    {"name": REFERENCE, "method": "ps-nogs", "sequences": "design", "published": "PS-NOGS", **SHORT},
    {"name": "REINFORCE", "method": "ram", "setting": "one", "published": "RAM", **SHORT},
]
SEARCH = {
    "method": "ram",
    "attributes": ["Male", "Young"],
    "keep": 1,
    "seed": 0,
    "epochs": 4,
    "recipe": {"policy": "gaussian", "deviation": "learned", "hidden": 8},
    "settings": [{"name": "one", "batch_size": 16}, {"name": "two", "learning_rate": 0.01}],
}


def tiny_attributes() -> DataSet:
    """The made-up task under two names."""

    def of_two(count: int, seed: int) -> Any:
        split = tiny_split(count, seed)
        return type(split)(split.images, split.labels[:, None].expand(-1, 2), split.ids, split.fingerprint)

    counts = {"design": 12, "train": 48, "valid": 20, "test": 30}
    openers = {split: (lambda n=n, s=s: of_two(n, s)) for s, (split, n) in enumerate(counts.items())}
    classes = dict.fromkeys(("Male", "Young"), ("left", "right"))
    return DataSet("tiny", "Male,Young", ("absent", "present"), GEOMETRY, 3, openers, attributes=classes)


class TinyWork(Work):
    """Without a fit: the sequences of the made-up task."""

    def store(self, source: str, attribute: str) -> SequenceStore:
        path = self.folder / f"{source}-{attribute}.h5"
        return SequenceStore.read(path) if path.exists() else tiny_store(path, self.dataset.only(attribute))

    def _made_in(self, row: Any, attribute: str) -> float:
        return 0.0


@pytest.fixture
def work(tmp_path: Path) -> Work:
    settings = {"rows": ROWS, "search": SEARCH, "glimpses": 2}
    return TinyWork(tiny_attributes(), tmp_path, settings, say=lambda _: None)


def test_every_training_has_a_row_and_the_methods_their_means(work: Work) -> None:
    trainings = in_order(["Male", "Young"], 1, ROWS)
    rows = figures(work, trainings)
    assert rows == figures(work, trainings)  # what is done is kept
    assert all(work.is_done(*one) for one in trainings) and not work.is_done(ROWS[0], "Male", 1)
    assert [row["attribute"] for row in rows] == ["Male", "Male", "Young", "Young", MEAN, MEAN]
    reference, alone = rows[:2]
    assert (reference["published_error_percent"], alone["published_error_percent"]) == (8.4, 11.1)
    assert reference["sooner"] == 1 and reference["low"] <= reference["error_percent"]
    means = [np.mean([row["error_percent"] for row in rows[n:4:2]]) for n in (0, 1)]
    assert [row["error_percent"] for row in rows[4:]] == pytest.approx(means)
    text = by_methods(rows)
    assert (
        "published 8.4, here" in text and "one seed" in text and "REINFORCE, batches of 16, converged" in text
    )


def test_the_search_looks_at_no_test_image(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    work.dataset._openers["test"] = lambda: pytest.fail("opened")
    found = convergence._searched(work)
    first, again, other = found
    assert [row["attribute"] for row in found] == ["Male", "Young", "Male"]  # the better of two went on
    assert first["setting"] == again["setting"] != other["setting"] and first["best_nll"] <= other["best_nll"]
    assert "| Male | Young | mean |" in by_settings(found)


def test_of_a_training_that_never_gets_there_its_length_is_the_bound() -> None:
    log = [{"iteration": n, "seconds": n / 10, "nll": nll} for n, nll in ((0, 0.7), (100, 0.4), (300, 0.3))]
    row = {"converged_at": 300, "batch_size": 32}
    reference = {"best_nll": 0.295, "converged_at": 100, "batch_size": 64}
    there = _compared(row, log, reference)
    assert (there["as_good_at"], there["as_good_seconds"]) == (300, 30.0)
    assert [there[name] for name in RATIOS] == [3.0, 3.0, 1.5, 1.5]
    never = _compared(row, log, reference | {"best_nll": 0.2})
    assert never["as_good_at"] is None and [never[name] for name in RATIOS] == [3.0, 3.0, 1.5, 1.5]


def test_one_training_that_learns_nothing_does_not_decide_a_geometric_mean() -> None:
    """It is within .01 nats of its best at the first check, of which the ratio is not 0."""
    log = [{"iteration": n, "seconds": n / 10, "nll": 0.7} for n in (0, 100)]
    reference = {"best_nll": 0.3, "converged_at": 400, "batch_size": 32}
    nothing = _compared({"converged_at": 0, "batch_size": 32}, log, reference)
    assert nothing["sooner"] == 0.25
    learned = _compared({"converged_at": 1600, "batch_size": 32}, log, reference)
    assert _geometric([nothing, learned], "sooner") == pytest.approx(1.0)


def test_intervals_are_wider_where_seeds_differ() -> None:
    def width(*shares: float) -> float:
        found = _interval([[np.arange(400) < 400 * share] for share in shares], torch.arange(400))
        return found["high"] - found["low"]

    binomial = 200 * 1.96 * (0.8 * 0.2 / 400) ** 0.5
    assert width(0.8) == pytest.approx(binomial, rel=0.1) == width(0.8, 0.8, 0.8)
    assert width(0.7, 0.8, 0.9) > 2 * width(0.8)


def test_the_file_names_possible_settings_and_known_rows() -> None:
    settings = read_settings()
    search = settings_of(settings["search"])
    assert len(search) == len(settings["search"]["settings"])
    for recipe in search.values():
        require_used("ram", Recipe(**recipe))
    for row in settings["rows"]:
        assert row["method"] in METHODS and row.get("setting", next(iter(search))) in search
        known = [published(row["published"], name) for name in ATTRIBUTES] if "published" in row else []
        assert not known or any(known)


def test_the_command_says_what_it_would_do() -> None:
    assert "--search" in CliRunner().invoke(convergence.main, ["--help"]).output
    refused = CliRunner().invoke(convergence.main, ["--data-root", "nowhere", "--json"])
    assert refused.exit_code and "Traceback" not in refused.output
    unknown = CliRunner().invoke(convergence.main, ["--methods", "RAM"])
    assert_refused(unknown, "expected --methods of PS-NOGS", "'RAM'")
