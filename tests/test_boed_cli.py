"""The command line `boed` end to end, and what it says to bad input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import timeless
from cli_tiny import assert_refused, call
from PIL import Image

import boed.cli.fit
import boed.search.adaptivity
from data.registry import load
from data.sample import sample_rows
from supervision.store import SequenceStore

FIT = ["--glimpses", 2, "--places", 12, "--iterations", 12]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., None]) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for n in range(90):
        write_photo(root / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    return root


@pytest.fixture(scope="module")
def run_dir(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which every command has been called once."""
    folder = tmp_path_factory.mktemp("run")
    for command in (
        ["fit", *task(photos, folder), *FIT],
        ["generate", *task(photos, folder)],
        ["generate", *task(photos, folder), "--source", "fixed-order", "--images", 3],
        ["generate", *task(photos, folder), "--source", "random", "--images", "all"],
    ):
        result = call(*command)
        assert result.exit_code == 0, result.output
    return folder


def task(photos: Path, folder: Path) -> list[object]:
    return ["--dataset", "folder", "--data-root", photos, "--run", folder, "--device", "cpu"]


@pytest.fixture
def run_copy(run_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_dir, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but the hidden ones, which say who works there."""
    files = [file for file in folder.rglob("[!.]*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_the_pipeline_makes_its_files(run_dir: Path, photos: Path) -> None:
    assert set(contents(run_dir)) == {
        "approximations/approximations.safetensors",
        "approximations/combination.json",
        "approximations/adaptivity.json",
        "approximations/fit-log.jsonl",
        *(f"sequences{name}.h5" for name in ("", "-fixed-order", "-random")),
    }
    design = load("folder", photos)["design"]
    for name, count, places in (("", len(design), 12), ("-fixed-order", 3, 12), ("-random", len(design), 0)):
        store = SequenceStore.read(run_dir / f"sequences{name}.h5")
        assert store.done.all() and store.steps == 2
        assert store.ids.tolist() == design.ids[sample_rows(len(design), count)].tolist()
        assert store.candidates.shape == (places, 3)
        assert store.settings["fingerprint"] == design.fingerprint
        assert store.origin["data_root"] == str(photos.resolve())


def test_calling_again_changes_nothing(run_copy: Path, photos: Path) -> None:
    before = contents(run_copy)
    for command in (
        ["fit", *FIT],
        ["fit"],
        ["generate"],
        ["generate", "--source", "fixed-order", "--images", 2],
    ):
        result = call(command[0], *task(photos, run_copy), *command[1:])
        assert result.exit_code == 0, result.output
    assert contents(run_copy) == before


def test_generate_fits_first_and_out_names_the_file(tmp_path: Path, photos: Path, run_dir: Path) -> None:
    out = tmp_path / "elsewhere" / "some.h5"
    result = call("generate", *task(photos, tmp_path / "run"), *FIT, "--out", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout
    assert timeless(out) == timeless(run_dir / "sequences.h5")


def test_shards_are_merged_into_the_store_of_one_process(run_copy: Path, photos: Path) -> None:
    folder, out = run_copy / "sequences-shards", run_copy / "merged.h5"
    for shard in ("1/2", "2/2"):
        if shard != "1/2":
            assert_refused(call("merge", folder, "--out", out), "all 2 shards", "no 2/2", "make or name them")
        result = call("generate", *task(photos, run_copy), "--shard", shard)
        assert result.exit_code == 0, result.output
    assert (
        f"next, with those of all 2 shards: boed merge {folder} --out {run_copy}/sequences.h5"
        in result.stdout
    )
    result = call("merge", folder, "--out", out)
    assert result.exit_code == 0 and f"--supervise {out}" in result.stdout, result.output
    assert timeless(out) == timeless(run_copy / "sequences.h5")
    assert_refused(call("generate", *task(photos, run_copy), "--shard", "3/2"), "shard I/N", "3/2")


def test_several_processes_make_the_store_of_one(run_copy: Path, photos: Path) -> None:
    out = run_copy / "spread.h5"
    result = call("generate", *task(photos, run_copy), "--workers", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert timeless(out) == timeless(run_copy / "sequences.h5")


@pytest.mark.parametrize("name", ["sequences", "sequences-random"])
def test_show_draws_a_picture(run_copy: Path, name: str) -> None:
    result = call("show", run_copy / f"{name}.h5")
    assert result.exit_code == 0, result.output
    picture = np.asarray(Image.open(run_copy / f"{name}.png"))
    assert picture.std() > 10
    some = SequenceStore.read(run_copy / f"{name}.h5").ids[:2].tolist()
    out = run_copy / "pictures" / "two.png"
    result = call("show", run_copy / f"{name}.h5", "--image", some[1], "--image", some[0], "--out", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout
    assert np.asarray(Image.open(out)).shape[0] == pytest.approx(picture.shape[0] / 2, rel=0.1)


def test_show_draws_its_other_pictures(run_copy: Path) -> None:
    for name in ("information", "completions"):
        result = call("show", run_copy / "sequences.h5", "--picture", name)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"wrote {run_copy / 'sequences'}-{name}.png\n"
        assert np.asarray(Image.open(run_copy / f"sequences-{name}.png")).std() > 10
    store, masked = run_copy / "sequences.h5", ("--picture", "masked-images")
    assert_refused(call("show", store, *masked), "--posterior avp-cnn", "GlimpseSetPosterior")
    assert_refused(call("show", store, *masked, "--fit", run_copy / "none"), "expected approximations")


def table_of(stdout: str) -> list[str]:
    """The lines of a calibration, from its caption on."""
    lines = stdout.splitlines()
    return lines[next(n for n, line in enumerate(lines) if "neither q nor the bank has seen" in line) :]


def test_a_fit_ends_with_how_true_it_is_and_calibration_draws_it(run_copy: Path, photos: Path) -> None:
    table = table_of(call("fit", *task(photos, run_copy)).stdout)
    unseen = len(load("folder", photos)["valid"])
    assert f"{unseen} images of valid" in table[0] and [line.split()[0] for line in table[2:4]] == ["1", "2"]
    before = contents(run_copy)
    for where in (run_copy, run_copy / "approximations"):
        found = call("calibration", where, "--device", "cpu")
        assert found.exit_code == 0, found.output
        *same, wrote = found.stdout.splitlines()
        assert same == table and wrote == f"wrote {run_copy / 'calibration.png'}"
    new = {name for name in contents(run_copy) if name not in before}
    assert new == {"calibration.png"}
    assert np.asarray(Image.open(run_copy / "calibration.png")).std() > 10


def test_a_calibration_is_of_the_images_asked_for(run_copy: Path) -> None:
    few = ["--split", "design", "--images", 3, "--out", run_copy / "pictures" / "t.png", "--json"]
    found = json.loads(call("calibration", run_copy, *few).stdout)
    assert found["split"] == "design" and found["folder"] == str(run_copy / "approximations")
    assert [(row["step"], row["images"]) for row in found["rows"]] == [(1, 3), (2, 3)]
    assert {"entropy", "nll", "predicted", "realised", "error", "slope", "agrees"} <= set(found["rows"][0])
    assert (run_copy / "pictures" / "t.png").exists() and not (run_copy / "calibration.png").exists()


def test_what_cannot_be_calibrated_is_refused(run_copy: Path, tmp_path: Path) -> None:
    assert_refused(call("calibration", tmp_path), f"expected approximations in {tmp_path}, found none")
    assert_refused(call("calibration", run_copy, "--out", "truth.pdf"), "FILE.png", "truth.pdf")
    assert_refused(call("calibration", run_copy, "--split", "train"), "'train' is not one of 'valid'")
    assert_refused(call("calibration", run_copy, "--data-root", tmp_path / "nowhere"), "nowhere")
    assert_refused(call("calibration", run_copy, "--split", "test"), "expected the test images")
    for name in ("a", "b"):
        shutil.copytree(run_copy / "approximations", run_copy / f"approximations-{name}")
    assert call("calibration", run_copy, "--images", 2).exit_code == 0
    shutil.rmtree(run_copy / "approximations")
    assert_refused(call("calibration", run_copy), "approximations-a, approximations-b; name one")
    path = run_copy / "approximations-a" / "approximations.safetensors"
    path.write_bytes(path.read_bytes()[:300])
    assert_refused(call("calibration", path.parent), "approximations.safetensors", "damaged")


def test_a_fit_without_images_to_check_it_is_a_fit(
    run_copy: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boed.cli.fit, "UNSEEN", "elsewhere")
    found = call("fit", *task(photos, run_copy))
    assert found.exit_code == 0 and "approximations; weight" in found.stdout
    assert found.stderr.splitlines()[-1].startswith("no table of what comes true of it: expected a split of")


WAYS: list[tuple[str, list[object], set[str]]] = [
    ("-no-shrink", ["--no-shrink"], set()),
    ("-coarse", ["--coarse"], set()),
    ("-beam", ["--search", "beam"], set()),
    ("-lookahead", ["--search", "lookahead"], set()),
    ("-entropy-lookahead", ["--search", "lookahead", "--score", "entropy"], set()),
    ("-information-no-shrink-coarse", ["--score", "information", "--coarse", "--no-shrink"], set()),
    ("-gaussian-entropy", ["--completion", "gaussian"], {"completion-gaussian"}),
    ("-cvae-information", ["--completion", "cvae", "--score", "information"], {"completion-cvae"}),
    ("-cvae-entropy-beam", ["--completion", "cvae", "--search", "beam"], {"completion-cvae"}),
    ("-proposals-entropy", ["--completion", "proposals"], {"completion-proposals"}),
    ("-amortised", ["--estimator", "amortised"], {"estimator-cross-entropy"}),
    ("-amortised-entropy", ["--estimator", "amortised", "--score", "entropy"], {"estimator-entropy"}),
]


@pytest.mark.parametrize(("tag", "options", "parts"), WAYS, ids=[tag for tag, _, _ in WAYS])
def test_other_ways_to_design_have_a_store_of_their_own(
    run_copy: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    tag: str,
    options: list[object],
    parts: set[str],
) -> None:
    """Beside the default's; q is learned once. Calling again changes nothing."""
    monkeypatch.setattr(boed.search.adaptivity, "FEW_IMAGES", 2)
    before = contents(run_copy)
    del before["approximations/combination.json"]  # says which was the last
    log = before.pop("approximations/fit-log.jsonl")
    few = ["--images", 3, "--completions", 9]
    result = call("generate", *task(photos, run_copy), *few, *options)
    assert result.exit_code == 0, result.output
    after = contents(run_copy)
    assert before.items() <= after.items() and after["approximations/fit-log.jsonl"].startswith(log)
    new = {Path(name).name for name in set(after) - set(before)}
    assert f"sequences{tag}.h5" in new
    assert {name.removesuffix(".safetensors") for name in new if name.endswith(".safetensors")} == parts
    store = SequenceStore.read(run_copy / f"sequences{tag}.h5")
    assert store.done.all() and store.settings["design"]["completions"] == 9
    assert all(len({tuple(place) for place in row}) == 2 for row in store.load().locations.tolist())
    assert call("generate", *task(photos, run_copy), *few, *options).exit_code == 0
    assert contents(run_copy) == after


def test_settings_say_how_a_store_was_designed(run_copy: Path, photos: Path) -> None:
    options = ["--images", 2, "--completions", 9, "--score", "entropy", "--search", "lookahead"]
    assert call("generate", *task(photos, run_copy), *options).exit_code == 0
    found = SequenceStore.read(run_copy / "sequences-entropy-lookahead.h5").settings["design"]
    assert found == {
        "source": "design",
        "seed": 0,
        "posterior": "glimpse-set",
        "completion": "retrieval",
        "estimator": "completion",
        "score": "entropy",
        "bank": None,
        "completions": 9,
        "search": "lookahead",
        "shrink": False,
        "coarse": False,
    }


def test_another_posterior_has_a_folder_of_its_own(photos: Path, run_copy: Path) -> None:
    before = contents(run_copy)
    options = [*FIT, "--posterior", "avp-cnn", "--resolution", 12, "--width", 24, "--images", 2]
    result = call("generate", *task(photos, run_copy), *options)
    assert result.exit_code == 0, result.output
    new = set(contents(run_copy)) - set(before)
    assert new == {
        "approximations-avp-cnn/approximations.safetensors",
        "approximations-avp-cnn/combination.json",
        "approximations-avp-cnn/adaptivity-avp-cnn.json",
        "approximations-avp-cnn/fit-log.jsonl",
        "sequences-avp-cnn.h5",
    }
    assert contents(run_copy).items() >= before.items()
    assert_refused(call("fit", *task(photos, run_copy), "--posterior", "avp-cnn", "--resolution", 13), "12")


def test_memory_changes_neither_designs_nor_what_they_depend_on(run_copy: Path, photos: Path) -> None:
    """A bank that is not kept is computed again: the same settings, and the same sequences."""
    out = run_copy / "frugal.h5"
    result = call("generate", *task(photos, run_copy), "--memory-gb", 0, "--out", out)
    assert result.exit_code == 0, result.output
    whole, frugal = (SequenceStore.read(path) for path in (run_copy / "sequences.h5", out))
    assert frugal.settings == whole.settings
    assert torch.equal(frugal.load().locations, whole.load().locations)
    assert torch.allclose(frugal.load().epe.nan_to_num(), whole.load().epe.nan_to_num(), atol=1e-5)


def test_a_search_is_described(run_copy: Path, photos: Path) -> None:
    lines = call("generate", *task(photos, run_copy), "--coarse", "--images", 4).stdout.splitlines()
    assert sum(line.startswith("effective sample size of the completions") for line in lines) == 1
    share = [line for line in lines if line.startswith("coarse-to-fine found the minimum of all places in ")]
    assert len(share) == 1 and 0 <= float(share[0].split()[-5]) <= 100
    plain = call("generate", *task(photos, run_copy), "--source", "fixed-order", "--images", 3).stdout
    assert "effective" not in plain and "coarse" not in plain


def test_a_damaged_store_is_refused(run_copy: Path, photos: Path, tmp_path: Path) -> None:
    path = run_copy / "sequences.h5"
    path.write_bytes(path.read_bytes()[:3000])
    before = contents(run_copy)
    assert_refused(call("generate", *task(photos, run_copy)), "sequences.h5", "truncated")
    assert_refused(call("show", path), "sequences.h5", "truncated")
    assert contents(run_copy) == before
    unfitted = tmp_path / "unfitted"
    assert_refused(
        call("generate", *task(photos, unfitted), *FIT, "--out", path), "sequences.h5", "truncated"
    )
    assert not unfitted.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--glimpses", 1], ["1 glimpses", "found 2"]),
        (["--iterations", 13], ["iterations = 13", "found 12"]),
        (["--seed", 3], ["seed = 3", "found 0"]),
        (["--scales", 2], ["scales = 2", "found 1"]),
        (["--out", "sequences-fixed-order.h5"], ['"source": "design"', '"source": "fixed-order"']),
    ],
)
def test_other_settings_are_refused_with_both_values(
    run_copy: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, options: list[object], words: list[str]
) -> None:
    monkeypatch.chdir(run_copy)
    before = contents(run_copy)
    assert_refused(call("generate", *task(photos, run_copy), *options), *words)
    assert contents(run_copy) == before


def test_a_run_of_another_data_set_is_refused(run_copy: Path) -> None:
    before = contents(run_copy)
    for command in ("fit", "generate"):
        assert_refused(call(command, "--run", run_copy), '"digits"', '"folder"')
    assert contents(run_copy) == before


def test_show_refuses_other_images(
    run_copy: Path, photos: Path, tmp_path: Path, write_photo: Callable[..., None]
) -> None:
    other = Path(shutil.copytree(photos, tmp_path / "photos"))
    for n in range(90):
        write_photo(other / "train" / "ab"[n % 2] / f"{n}.png", seed=n + 500)
    assert len(load("folder", other)["design"]) + len(load("folder", other)["train"]) > 0  # decoded before
    assert_refused(call("show", run_copy / "sequences.h5", "--data-root", other), "fingerprint")
    assert_refused(call("generate", *task(other, run_copy)), "approximations of folder label")
    assert not (run_copy / "sequences.png").exists()


def test_show_refuses_unknown_images_and_files(run_copy: Path) -> None:
    before = contents(run_copy)
    assert_refused(call("show", run_copy / "sequences.h5", "--image", 987654), "987654")
    assert_refused(call("show", run_copy / "none.h5"), "none.h5")
    assert_refused(call("show", run_copy / "sequences.h5", "--data-root", run_copy / "nowhere"), "nowhere")
    assert contents(run_copy) == before
