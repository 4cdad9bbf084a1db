"""`hardattn benchmark`: from photographs to one sentence, taken up again, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tiny import assert_refused
from click.testing import CliRunner
from PIL import Image

import hardattn.experiments.benchmark.run
from boed.comparison.compare import Comparison
from data.errors import CheckpointError, SettingsError
from data.measures import Measure
from data.parting import part_of_bytes
from data.registry import load
from hardattn.cli.main import main
from hardattn.experiments.benchmark.answer import adaptive, answer, with_attention, without_attention
from hardattn.experiments.benchmark.copies import copies_in_test
from hardattn.experiments.benchmark.run import Benchmark
from hardattn.experiments.benchmark.schedule import Schedule
from hardattn.experiments.frontier.grid import read_grid
from hardattn.experiments.frontier.pareto import FrontierPoint
from hardattn.experiments.frontier.result import Frontier

POINT = FrontierPoint(
    *("attention", "attention hidden 8", "fixed", 1.0, 0.1, 100.0, 0.1, 0.7, 0.71, 0.7, 0.72, 0.5, 3.0, "a")
)


def differing(accuracy: tuple[float, float, float]) -> Comparison:
    """Designs that differ from the fixed order by so much, with the ends of the interval."""
    value, low, high = accuracy
    gap = Measure(np.array([value] * 2), np.array([[low, high]] * 2).T.repeat(50, 0))
    none = Measure(np.zeros(2), np.array([[-1.0, 1.0]] * 2).T.repeat(50, 0))
    differences = {"design": {"accuracy": gap, "nll": none}}
    kinds = ("design", "fixed-order")
    return Comparison(
        "folder", {"label": 9}, kinds, kinds, {}, differences, np.zeros((2, 1)), (None, None), (1,)
    )


def test_looking_adaptively_pays_where_the_interval_says_so() -> None:
    assert "looking adaptively pays" in adaptive(differing((0.1, 0.05, 0.15)))
    assert "+10.0 (+5.0 to +15.0) points" in adaptive(differing((0.1, 0.05, 0.15)))
    assert "own, of 9 other photographs, differ" in adaptive(differing((0.1, 0.05, 0.15)))
    assert "looking adaptively does not pay" in adaptive(differing((-0.1, -0.2, -0.05)))
    assert "looking adaptively is not shown to pay" in adaptive(differing((0.1, -0.05, 0.2)))


def test_designs_that_are_all_the_fixed_order_are_called_so() -> None:
    assert "the designs of all images are one and the same order" in adaptive(differing((0.0, 0.0, 0.0)))


LONG = {"with": [25.0], "without": [60.0]}


def result_of(*points: FrontierPoint) -> Frontier:
    return Frontier("folder", "label", 1000, [0], list(points))


def told(result: Frontier, epochs: dict[str, list[float]] = LONG, copies: int = 0) -> str:
    """The sentence, where looking adaptively pays."""
    comparison = differing((0.1, 0.05, 0.15))
    return answer(
        Benchmark(
            "pets",
            1234,
            ("cat", "dog"),
            ("cat", 0.6),
            comparison,
            result,
            epochs,
            Path("report.html"),
            copies,
        )
    )


def test_the_sentence_has_what_accuracy_costs_with_and_without_attention() -> None:
    rivals = [
        replace(POINT, family="cnn", name="cnn small", mflops=0.09, valid_mflops=0.09, test_accuracy=0.6),
        replace(POINT, family="cnn", name="cnn", mflops=9.0, valid_mflops=9.0, valid_accuracy=0.9),
    ]
    ordered = replace(POINT, family="attention in one order", valid_mflops=0.05, valid_accuracy=0.6)
    result = result_of(POINT, ordered, *rivals)
    assert with_attention(result) == [ordered, POINT] and without_attention(result) == rivals
    said = told(result)
    assert (
        "On 1,234 test photographs of pets in 2 classes, of which always to say cat gets 60.0 % right" in said
    )
    assert "71.0 % right (68.4 to 73.5) cost 0.1 MFLOPs with attention" in said
    assert "which sees 10.0 % of the pixels" in said
    assert (
        "cost 9 MFLOPs without (cnn), 60.0 % (57.2 to 62.7) for at most what attention costs (cnn small)"
        in said
    )
    dear = result_of(POINT, rivals[1])
    assert "(cnn), none of which is as cheap as attention; looking" in told(dear)
    cheap = result_of(POINT, rivals[0])
    assert "(cnn small), for less than attention; looking" in told(cheap)
    short = {"with": [0.34, 5.2, 8.4], "without": [38.0]}
    said = told(cheap, short)
    assert "attention was trained for 0.3 to 8 epochs, the others for 38: more --minutes tell more." in said
    assert "more --minutes" not in told(cheap)


def test_from_photographs_to_a_sentence(
    tmp_path: Path, write_photo: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(130):
        write_photo(
            tmp_path / "photographs" / ("val" if n > 90 else "train") / "ab"[n % 2] / f"{n}.png", seed=n
        )
    members = [each for each in read_grid("folder") if each.sizes.get("resolution", 16) == 16]
    members = [
        one for number, one in enumerate(members) if number != 1
    ]  # one each of both attentions, and a cnn
    assert [one.family for one in members] == ["attention", "attention in one order", "cnn"]
    monkeypatch.setattr(hardattn.experiments.benchmark.run, "read_grid", lambda name: members)
    monkeypatch.setattr(hardattn.experiments.benchmark.run, "MOST_ITERATIONS", 8)
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 3)
    words = ["benchmark", str(tmp_path / "photographs"), "--image-size", "32", "--minutes", "0.05"]
    words += ["--run", str(tmp_path / "run"), "--device", "cpu"]
    first = CliRunner().invoke(main, words)
    assert first.exit_code == 0, first.output
    assert "with attention" in first.stdout and "looking adaptively" in first.stdout
    assert " epochs, the others for " in first.stdout
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    before = (tmp_path / "run" / "frontier" / "frontier.json").read_bytes()
    again = CliRunner().invoke(main, [*words, "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["answer"] == first.stdout.splitlines()[-1]
    assert (
        json.loads((tmp_path / "run" / "frontier" / "frontier.json").read_text())["points"]
        == json.loads(before)["points"]
    )
    other = CliRunner().invoke(main, [word if word != "0.05" else "0.1" for word in words])
    assert_refused(other, "expected --minutes 0.05", "use the same --minutes")


def test_test_photographs_that_are_also_learned_from_are_told(
    tmp_path: Path, write_photo: Callable[..., None]
) -> None:
    """Under another name, in another class and format."""
    for n in range(40):
        write_photo(tmp_path / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    for n in (100, 101):
        write_photo(tmp_path / "val" / "a" / f"{n}.png", seed=n)
    Image.open(tmp_path / "train" / "a" / "2.png").save(tmp_path / "val" / "a" / "other.bmp")
    dataset = load("folder", tmp_path, size=32)
    assert copies_in_test(dataset) == 1
    result = Frontier("folder", "label", 1000, [0], [POINT, replace(POINT, family="cnn")])
    assert "copies" not in told(result) and "; 1 of 1,234 test photographs" in told(result, copies=1)


def test_a_stage_takes_what_is_left_and_what_was_decided_is_kept(tmp_path: Path) -> None:
    now = [0.0]
    schedule = Schedule(tmp_path, 10, began=0.0, clock=lambda: now[0])
    fit = schedule.seconds("fit")
    assert fit == pytest.approx(180)
    for late, judges, networks in ((180, 90, 343.6), (480, 25.7, 98.2), (900, 22.5, 67.5)):
        now[0] = late  # as stated; slower; all of the time is over
        assert schedule.seconds("judges") == pytest.approx(judges, abs=0.1)
        assert schedule.seconds("networks") == pytest.approx(networks, abs=0.1)
    assert schedule.kept("networks", lambda: 60.0) == 60.0
    again = Schedule(tmp_path, 10, began=0.0)
    assert again.kept("networks", lambda: 1.0) == 60.0
    with pytest.raises(CheckpointError, match="expected --minutes 10 .* found 5; use the same"):
        Schedule(tmp_path, 5)


def test_a_class_that_cannot_be_learned_is_refused(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    for n in range(100):
        write_photo(tmp_path / "pets" / "ab"[n % 2] / f"{n}.png", seed=n)
    split, n = "", 0
    while split != "test":  # one image of a third class, which is not in the train split
        n += 1
        write_photo(tmp_path / "owl.png", seed=1000 + n)
        [split] = part_of_bytes([tmp_path / "owl.png"])
    (tmp_path / "pets" / "owl").mkdir()
    (tmp_path / "owl.png").rename(tmp_path / "pets" / "owl" / "1.png")
    words = ["benchmark", str(tmp_path / "pets"), "--image-size", "32", "--run", str(tmp_path / "run")]
    refused = CliRunner().invoke(main, words)
    assert_refused(refused, "none of 1 classes (owl)", "leave them out by --classes", progress=None)


def test_too_few_photographs_are_refused_before_the_fit(
    tmp_path: Path, write_photo: Callable[..., None]
) -> None:
    for n in range(24):
        write_photo(tmp_path / "few" / ("val" if n > 15 else "train") / "ab"[n % 2] / f"{n}.png", seed=n)
    words = ["benchmark", str(tmp_path / "few"), "--image-size", "32", "--run", str(tmp_path / "run")]
    assert_refused(CliRunner().invoke(main, words), "at least 4 images", "add photographs", progress=None)
    assert not (tmp_path / "run").exists()
    plain = CliRunner().invoke(main, ["benchmark", str(tmp_path / "few" / "train"), *words[2:]])
    assert_refused(plain, "at least 4 images", "10 train", progress=None)
    small = CliRunner().invoke(main, [*words[:2], "--image-size", "-3"])
    assert_refused(small, "--image-size of at least 1")


def test_what_is_no_folder_of_photographs_is_refused(tmp_path: Path) -> None:
    refused = CliRunner().invoke(main, ["benchmark", str(tmp_path)])
    assert_refused(refused, "train/CLASS", "give the folder above")
    assert "--data-root" not in refused.stderr
    assert_refused(CliRunner().invoke(main, ["benchmark", str(tmp_path), "--minutes", "0"]), "minutes")
    with pytest.raises(SettingsError, match="expected finite minutes above 0, found inf"):
        Schedule(tmp_path, float("inf"))
