"""The commands `boed import` and `boed compare`."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset, source
from cli_tiny import assert_refused, call

import boed.comparison.compare
import boed.comparison.stores
import data.registry
from boed.comparison.compare import Source
from data.dataset import DataSet
from data.sequences import Sequences
from supervision.store import SequenceStore

DESIGN = pointer_dataset()["design"]


Maker = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    """Makes stores of the made-up data set, which the command line can then open."""

    opened = data.registry.load

    def load(name: str, *more: Any, attribute: str | None = None, **options: Any) -> DataSet:
        """Others are opened as ever: what is first imported meanwhile keeps this function."""
        if name != "pointer":
            return opened(name, *more, attribute=attribute, **options)
        return pointer_dataset(target=attribute or "label")

    def made(
        name: str, given: Source, *, done: int | None = None, target: str = "label", **settings: Any
    ) -> Path:
        path = tmp_path / name
        facts = {
            "dataset": "pointer",
            "target": target,
            "fingerprint": DESIGN.fingerprint,
            "geometry": GEOMETRY.to_json(),
            "design": {"source": given.kind},
        } | settings
        origin = {"name": "pointer", "attribute": target}
        steps = given.locations.shape[1]
        store = SequenceStore.write_to(path, facts, given.ids, steps, PLACES[:0], origin=origin)
        nothing, rows = torch.full((len(given.ids), steps + 1), math.nan), torch.arange(len(given.ids))[:done]
        parts = (given.locations, nothing[:, 1:], nothing, nothing[:, 1:, None][..., :0])
        store.write(rows, Sequences(*(part[rows] for part in parts)))
        if given.seconds is not None:
            store.add_seconds(given.seconds * len(rows), len(rows))
        return path

    monkeypatch.setattr("data.registry.load", load)  # which `reopen` calls
    return made


QUICKLY = ("--iterations", 3, "--device", "cpu")


def test_compare_prints_tables_and_ends_with_the_sentence(make: Maker) -> None:
    paths = [make("a.h5", source("", "design", 1)), make("b.h5", source("", "fixed-order", 2))]
    result = call("compare", *paths, *QUICKLY)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"pointer: {len(DESIGN)} images of label\nsource")
    assert result.stdout.strip().splitlines()[-1].startswith("On pointer label the adaptive design ")
    assert "judge 2 of 2" in result.stderr and "judge 2 of 2" not in result.stdout


def test_json_is_all_there_is_on_standard_output(make: Maker) -> None:
    first = replace(source("", "design", 1, DESIGN.ids[:30]), seconds=0.5)
    paths = [make("a.h5", first), make("b.h5", source("", "fixed-order", 2, DESIGN.ids[10:]))]
    result = call("compare", *paths, *QUICKLY, "--json", "--seed", 3, "--judges", 2, "--alike", 2)
    found = json.loads(result.stdout)
    assert found["images"] == 20 and found["target"] == "label"
    assert found["sources"]["design"]["seconds_per_sequence"] == 0.5
    assert found["sentence"].startswith("On pointer label")
    assert "20 images have sequences of all sources, of up to 40" in result.stderr
    assert "judge 4 of 4" in result.stderr


def test_several_targets_are_averaged(make: Maker) -> None:
    paths = [
        make(f"{kind}-{target}.h5", source("", kind, seed), target=target)
        for seed, (kind, target) in enumerate(itertools.product(("design", "fixed-order"), ("one", "two")))
    ]
    found = json.loads(call("compare", *paths, *QUICKLY, "--json").stdout)
    assert found["targets"] == ["one", "two"] == list(found["by_target"])
    parts = [
        found["by_target"][target]["sources"]["design"]["nll"]["3"]["value"] for target in ("one", "two")
    ]
    assert found["sources"]["design"]["nll"]["3"]["value"] == pytest.approx(sum(parts) / 2)
    human = call("compare", *paths, *QUICKLY).stdout
    assert "mean over 2 targets" in human and human.count("On pointer") == 3
    assert human.strip().splitlines()[-1].startswith("On pointer one, two the adaptive design")


def test_sources_of_one_kind_are_named_by_their_files(make: Maker) -> None:
    (make("x", source("", "random"))).parent.joinpath("deeper").mkdir()
    paths = [
        make("a.h5", source("", "design", 1)),
        make("b.h5", source("", "random", 2)),
        make("c.h5", source("", "random", 3)),
        make("deeper/c.h5", source("", "random", 4)),
    ]
    found = json.loads(call("compare", *paths, *QUICKLY, "--json").stdout)
    assert list(found["sources"]) == ["design", "random (b)", f"random ({paths[2]})", f"random ({paths[3]})"]
    assert_refused(call("compare", paths[0], paths[0], *QUICKLY), "twice")


def test_partly_finished_stores_are_compared_by_what_there_is(make: Maker) -> None:
    paths = [make("a.h5", source("", "design"), done=12), make("b.h5", source("", "random", steps=2))]
    result = call("compare", *paths, *QUICKLY, "--json")
    found = json.loads(result.stdout)
    assert found["images"] == 12 and set(found["sources"]["design"]["nll"]) == {"1", "2"}
    assert "a.h5: 12 of 50 sequences are finished" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("dataset", "other"), ("fingerprint", None), ("geometry", GEOMETRY.to_json() | {"scales": 2})],
)
def test_stores_of_different_data_are_refused_with_both_values(make: Maker, name: str, value: object) -> None:
    paths = [make("a.h5", source("", "design")), make("b.h5", source("", "random"), **{name: value})]
    result = call("compare", *paths, *QUICKLY)
    assert_refused(result, f"same {name}", "a.h5", "b.h5", json.dumps(value, sort_keys=True))


def test_what_cannot_be_compared_is_refused_before_any_training(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boed.comparison.compare, "judge", None)
    good = make("good.h5", source("", "design", ids=DESIGN.ids[:20]))
    assert_refused(call("compare", good, tmp_path / "none.h5"), "none.h5", "boed generate")
    assert_refused(call("compare", good, make("new.h5", source("", "random"), done=0)), "new.h5", "finished")
    apart = make("apart.h5", source("", "random", ids=DESIGN.ids[20:]))
    assert_refused(call("compare", good, apart), "none in common of 20 of design, 30 of random")
    other = make("other.h5", source("", "random"), target="other")
    assert_refused(call("compare", good, other), "a source that all targets have")
    elsewhere = make("elsewhere.h5", source("", "random"), fingerprint="0")
    assert_refused(call("compare", elsewhere), "fingerprint", DESIGN.fingerprint)
    (tmp_path / "cut.h5").write_bytes(good.read_bytes()[:2000])
    assert_refused(call("compare", tmp_path / "cut.h5"), "truncated")
    assert_refused(call("compare"), "Missing argument 'STORE")
    for option in ("--iterations", "--judges", "--alike"):
        assert_refused(call("compare", good, option, 0), f"{option.strip('-')} of at least 1", "found 0")
    assert_refused(call("compare", good, "--seed", -1), "seed of at least 0", "found -1")
    assert_refused(call("compare", good, "--device", "abacus"), "device auto, cpu or cuda", "abacus")


def test_import_writes_a_store_and_says_what_comes_next(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / "celebhq" / "20").mkdir(parents=True, exist_ok=True)
        (tmp_path / "celebhq" / "20" / f"{n}.txt").write_text("147, 126\n92, 118\n")
    out = tmp_path / "faces.h5"
    result = call("import", tmp_path, "--attribute", "Male", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"3 sequences of 2 glimpses in {out}" in result.stdout and "--data-root" in result.stdout
    assert SequenceStore.read(out).settings["target"] == "Male"
    assert_refused(call("compare", out), "celebahq", "--data-root")


def test_import_chooses_the_file_and_compare_refuses_what_has_no_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("birds").mkdir()
    Path("birds/0.txt").write_text("40, 48\n0, 96\ndata/birds/train/images/1.png")
    result = call("import", ".", "--dataset", "birds")
    assert result.exit_code == 0, result.output
    assert SequenceStore.read(Path("runs/birds/sequences-published.h5")).ids.tolist() == [1]
    assert_refused(call("compare", "runs/birds/sequences-published.h5"), "a data set of", "'birds'")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--attribute", "Sleepy"], "found 'Sleepy'"),
        (["--attribute", "Male"], "celebhq/20"),
        ([], "--attribute with celebahq and none with birds, found None with celebahq"),
        (["--dataset", "birds", "--attribute", "Male"], "found Male with birds"),
        (["--dataset", "birds", "--data-root", "."], "images.txt"),
        (["--dataset", "birds", "--split", "train"], "--data-root with --split"),
        (["--dataset", "fish"], "'fish' is not one of 'celebahq', 'birds'"),
        (["--attribute", "Male", "--data-root", "nowhere"], "no folder nowhere"),
    ],
)
def test_import_refuses_in_one_line_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call("import", tmp_path, *options), words)
    assert list(tmp_path.iterdir()) == []
