"""`hardattn report`: what it collects, the page that holds it, its pictures, and bad input."""

import json
import re
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from matplotlib.figure import Figure
from report_tiny import digits_runs, write_frontier

from data.errors import CheckpointError, SettingsError
from hardattn.cli.main import main
from hardattn.evaluation import EVALUATION
from hardattn.loading import open_trained
from hardattn.model.looking import look_at_all
from hardattn.report.contents import collect
from hardattn.report.encoding import decoded, unpacked
from hardattn.report.frontiers import frontiers_of, read_frontier
from hardattn.report.page import embedded, page
from hardattn.report.training_curves import draw_terms, draw_validation, term_names
from hardattn.training import checkpoint


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return digits_runs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def found(runs: dict[str, Path]) -> dict[str, Any]:
    return collect(list(runs.values()), images=2, device="cpu")


def run_of(found: dict[str, Any], label: str) -> dict[str, Any]:
    return next(run for run in found["tasks"][0]["runs"] if run["label"] == label)


def test_runs_of_one_task_are_together_with_the_figures_of_their_files(
    found: dict[str, Any], runs: dict[str, Path]
) -> None:
    assert len(found["tasks"]) == 1
    for label, folder in runs.items():
        run = run_of(found, label)
        assert run["evaluation"] == checkpoint.read_json(folder / EVALUATION)
        logged = [json.loads(line) for line in (folder / checkpoint.LOG).read_text().splitlines()]
        assert [line["nll"] for line in run["log"]] == [line["nll"] for line in logged]
        terms = [{f"loss_{name}": value for name, value in line["terms"].items()} for line in run["log"]]
        assert terms == [{n: v for n, v in line.items() if n.startswith("loss_")} for line in logged]
        assert any(terms)
    json.dumps(found, allow_nan=False)


def test_a_walk_is_what_the_network_did_in_its_evaluation(
    found: dict[str, Any], runs: dict[str, Path]
) -> None:
    run = open_trained(runs["epe-head-0"], device="cpu")
    split, (network, settings) = run.dataset["test"], run.glimpsing()
    seen = look_at_all(network, split, settings.geometry, settings.glimpses, mode="greedy")
    for image, walk in zip(found["tasks"][0]["images"], run_of(found, "epe-head-0")["walks"], strict=True):
        row = int((split.ids == image["id"]).nonzero())
        assert image["class"] == split.labels[row]
        assert np.array_equal(decoded(image["picture"]), split.images[row, ..., 0].numpy())
        assert walk["locations"] == seen.locations[row].tolist()
        logits = torch.cat([seen.prior[row, None], seen.logits[row]])
        assert np.allclose(walk["probabilities"], logits.softmax(-1), atol=1e-4)
        assert np.allclose(walk["gain"][:-1], seen.gain[row], rtol=1e-3, atol=1e-4)


def test_the_epe_map_is_smallest_where_the_network_looks_next(found: dict[str, Any]) -> None:
    run = run_of(found, "epe-head-0")
    rows, cols = run["sensor"]["rows"], run["sensor"]["cols"]
    for walk in run["walks"]:
        for t, (row, col, _) in enumerate(walk["locations"]):
            epe = unpacked(walk["maps"][t], (len(rows), len(cols)))
            for before_row, before_col, _ in walk["locations"][:t]:
                epe[rows.index(before_row), cols.index(before_col)] = np.inf
            level = (walk["maps"][t]["high"] - walk["maps"][t]["low"]) / 255
            assert epe[rows.index(row), cols.index(col)] <= epe.min() + level


def test_maps_are_those_of_the_policy_if_it_chose(found: dict[str, Any]) -> None:
    kinds = {run["label"]: run["map"] for run in found["tasks"][0]["runs"]}
    assert kinds == {"epe-head-0": "epe", "gauss-0": "policy", "random-0": None, "fc-0": None}
    assert run_of(found, "random-0")["walks"][0]["maps"] is None
    gauss = run_of(found, "gauss-0")["walks"][0]["maps"]
    assert len(gauss) == 3 and gauss[0]["high"] > gauss[0]["low"]
    assert run_of(found, "fc-0")["walks"] == [] and run_of(found, "fc-0")["heat"] == []


class Loads(HTMLParser):
    """Whatever a page would load, and its script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found, self.scripts = list[str](), 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        names = ("src", "href", "srcset", "data", "action", "poster")
        self.found += [value or "" for name, value in attributes if name in names]


def test_the_page_has_everything_in_it(found: dict[str, Any]) -> None:
    text = page(found)
    loads = Loads(text)
    assert loads.found == ["data:,"] and loads.scripts == 2
    outside = set(re.findall(r"https?://[^\s\"'<>]*", text)) - {"http://www.w3.org/2000/svg"}
    assert not outside and "@import" not in text and "url(" not in text.replace("url(#", "")
    assert len(text) < 3_000_000


def test_a_class_name_cannot_end_the_script() -> None:
    nasty = "</script><script>alert(1)</script><!--"
    task: dict[str, Any] = {"name": nasty, "classes": [nasty]}
    text = page({"rules": {}, "shown": [], "tasks": [task]}, command=nasty)
    assert Loads(text).scripts == 2
    assert json.loads(embedded({"class": nasty})) == {"class": nasty}


def test_a_frontier_is_read_with_its_chosen_points(tmp_path: Path) -> None:
    path = write_frontier(tmp_path / "frontier" / "frontier.json", dataset="digits", target="label", seed=2)
    found = read_frontier(path)
    first, second, third = found["points"]
    assert [point["chosen"] for point in (first, second, third)] == [True, False, True]
    assert second["accuracy"] == 0.5 and second["intervals"] == {"accuracy": [0.4, 0.6]}
    assert found["file"] == str(path)
    assert found["command"] is None
    beside = frontiers_of([[tmp_path]], [], [("digits", "label")])
    assert beside == frontiers_of([[]], [path], [("digits", "label")]) == [[found]]
    assert frontiers_of([[tmp_path]], [path], [("digits", "label")]) == beside  # not twice
    with pytest.raises(SettingsError, match="expected a frontier of mnist label"):
        frontiers_of([[]], [path], [("mnist", "label")])


POINTLESS = r"points with mflops and test_accuracy in .*frontier\.json, found otherwise; make it with"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", POINTLESS),
        ('{"points": [{"mflops": 1}]}', POINTLESS),
        ('{"points": [3]}', POINTLESS),
        ("[]", r"a JSON object in .*frontier\.json, found list"),
        ("no", r"JSON in .*frontier\.json, found damage"),
    ],
)
def test_what_is_no_frontier_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "frontier.json").write_text(text)
    with pytest.raises(CheckpointError, match=words):
        read_frontier(tmp_path / "frontier.json")


def test_the_pictures_are_those_of_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    frontier = write_frontier(tmp_path / "frontier.json", dataset="digits", target="label")
    out = ("--format", "png", "--images", 1, "--out", tmp_path / "made")
    done = call(runs["epe-head-0"], runs["fc-0"], frontier, *out)
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "made").iterdir()}
    trained = {f"digits-training-{name}.png" for name in ("iterations", "seconds", "terms")}
    looked = {f"digits-{name}.png" for name in ("heat", "near-best-accuracy", "network-epe-head-0")}
    assert {"digits-compute.png", *trained, *looked} < names and len(names) == 8
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "made").iterdir())


def test_curves_of_a_training_are_its_log(found: dict[str, Any]) -> None:
    """A panel for NLL, for accuracy, and for each term of the loss, with a curve for every run."""
    task = found["tasks"][0]
    validation, losses = Figure(), Figure()
    draw_validation(validation, task, "seconds")
    draw_terms(losses, task)
    panels = {axes.get_ylabel() or axes.get_title(): axes for axes in validation.axes + losses.axes}
    reads: dict[str, Callable[[dict[str, Any]], Any]] = {
        "validation NLL, nats": lambda line: line["nll"],
        "validation accuracy, %": lambda line: 100 * line["accuracy"],
        **{name: partial(lambda line, name: line["terms"].get(name), name=name) for name in term_names(task)},
    }
    assert {"classification", "reinforce", "epe"} <= set(reads) and set(reads) <= set(panels)
    for name, read in reads.items():
        against = "seconds" if name.startswith("validation") else "iteration"
        for run, curve in zip(task["runs"], panels[name].lines, strict=True):
            logged = [(line[against], read(line)) for line in run["log"] if read(line) is not None]
            assert list(zip(*curve.get_data(), strict=True)) == logged


def test_images_can_be_named(runs: dict[str, Path], found: dict[str, Any], tmp_path: Path) -> None:
    wanted = found["tasks"][0]["images"][1]["id"]
    done = call(runs["random-0"], "--image", wanted, "--out", tmp_path / "deep" / "a.html")
    assert done.exit_code == 0 and "open it in a browser" in done.stdout
    text = (
        (tmp_path / "deep" / "a.html").read_text().partition('id="report-data">')[2].partition("</script>")[0]
    )
    assert [image["id"] for image in json.loads(text)["tasks"][0]["images"]] == [wanted]


def test_bad_input_gets_one_line_and_writes_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    file, run = tmp_path / "file", runs["random-0"]
    file.write_text("")
    bad: list[tuple[list[object], str]] = [
        ([tmp_path], "run.json"),
        ([tmp_path / "none.json", run], "expected a frontier, found no"),
        ([write_frontier(tmp_path / "frontier.json")], "at least one run"),
        ([run, "--out", tmp_path], "found the folder"),
        ([run, "--format", "png", "--out", file], "found the file"),
        ([run, "--image", 987654321], "no image 987654321"),
        ([run, "--images", 0], "expected 1 to 600 images"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, reason in bad:
        out = [] if "--out" in arguments else ["--out", tmp_path / "report.html"]
        done = call(*arguments, *out)
        assert_refused(done, reason)
    assert sorted(tmp_path.rglob("*")) == before
