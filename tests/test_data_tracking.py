"""A tracker is told a log once, whatever happens to it; TensorBoard's own reader finds it whole."""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from data.errors import SettingsError
from data.logs import append
from data.tracking.following import NOTED, following
from data.tracking.registry import TRACKERS, require_tracker
from data.tracking.tracker import Parameter, RunTracker, TrackedRun

LINES = [{"iteration": 100 * n, "nll": 0.7 - 0.1 * n, "nll_at": [1.0]} for n in range(5)]
SETTINGS = {"seed": 3, "recipe": {"hidden": 8}}


class Kept(RunTracker):
    """Runs in memory, by number; fails where it is told to."""

    runs: list["Kept"]
    fails_at: int | None

    def __init__(self, run: TrackedRun) -> None:
        self.runs.append(self)
        self.known, self.run = run.known, run.known or str(len(self.runs))
        self.steps, self.values, self.pictures = list[int](), list[Mapping[str, float]](), list[int]()
        self.said, self.closed = dict[str, Parameter](), list[bool]()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        if step == self.fails_at:
            raise ConnectionError("no\nnetwork")
        self.steps.append(step)
        self.values.append(metrics)

    def parameters(self, values: Mapping[str, Parameter]) -> None:
        self.said |= values

    def figure(self, name: str, figure: object, step: int) -> None:
        self.pictures.append(step)

    def close(self, finished: bool) -> None:
        self.closed.append(finished)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> type[Kept]:
    monkeypatch.setattr(Kept, "runs", [], raising=False)
    monkeypatch.setattr(Kept, "fails_at", None, raising=False)
    monkeypatch.setitem(TRACKERS._known, "kept", Kept)
    return Kept


def told(folder: Path, lines: list[dict[str, Any]], tracker: Any = "kept", ends: bool = True) -> None:
    """A call that adds lines to the log, one after the other."""
    path = folder / "log.jsonl"
    try:
        with following(tracker, path, lambda: SETTINGS) as tell:
            for line in lines:
                append(path, [line])
                tell()
            if not ends:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert not ends


def test_no_line_is_told_twice_and_a_run_goes_on(tmp_path: Path, kept: type[Kept]) -> None:
    told(tmp_path, LINES[:2], ends=False)
    told(tmp_path, LINES[2:])
    told(tmp_path, [])
    first, second = kept.runs
    assert (first.steps, second.steps, second.known) == ([0, 100], [200, 300, 400], first.run)
    assert second.values[0] == {"nll": LINES[2]["nll"]}
    assert first.said == second.said == {"seed": 3, "recipe.hidden": 8}
    assert (first.closed, first.pictures, second.closed, second.pictures) == ([False], [], [True], [400])


def test_a_tracker_that_comes_late_is_told_all(tmp_path: Path, kept: type[Kept]) -> None:
    told(tmp_path, LINES, None)
    assert not (tmp_path / NOTED).exists()
    told(tmp_path, [])
    assert kept.runs[0].steps == [line["iteration"] for line in LINES]


@pytest.mark.parametrize("noted", ["{", "[]", '{"kept": {"other": 1}}'])
def test_what_is_noted_may_be_damaged(tmp_path: Path, kept: type[Kept], noted: str) -> None:
    (tmp_path / NOTED).write_text(noted)
    told(tmp_path, LINES[:1])
    assert kept.runs[0].steps == [0] and json.loads((tmp_path / NOTED).read_text())["kept"]["lines"] == 1


def test_a_failure_is_one_line_and_what_was_missed_is_told_later(
    tmp_path: Path, kept: type[Kept], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kept, "fails_at", 200)
        told(tmp_path, LINES)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: the tracker kept failed (ConnectionError: no\\nnetwork); the tr")
    assert (kept.runs[0].steps, kept.runs[0].closed, kept.runs[0].pictures) == ([0, 100], [False], [])
    told(tmp_path, [])
    assert kept.runs[1].steps == [200, 300, 400]


def test_a_log_that_begins_anew_is_another_run(tmp_path: Path, kept: type[Kept]) -> None:
    told(tmp_path, LINES)
    (tmp_path / "log.jsonl").unlink()
    told(tmp_path, LINES[:2])
    assert (kept.runs[1].known, kept.runs[1].steps) == (None, [0, 100])


def test_an_object_is_told_what_is_new(tmp_path: Path) -> None:
    class Own:
        def log(self, metrics: Mapping[str, float], step: int) -> None:
            steps.append(step)

    steps = list[int]()
    told(tmp_path, LINES[:2], None)
    told(tmp_path, LINES[2:], Own())
    assert steps == [200, 300, 400] and not (tmp_path / NOTED).exists()


def test_a_tracker_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="expected a tracker of tensorboard, wandb, .*; found 'x'"):
        require_tracker("x")
    monkeypatch.setattr("data.tracking.registry.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"the package tensorboard .*pip install 'boed-hardattn\[tens"):
        require_tracker("tensorboard")


def test_a_tracker_by_name_needs_a_folder(kept: type[Kept]) -> None:
    with pytest.raises(SettingsError, match="expected a folder for the tracker kept"):
        require_tracker("kept", kept=False)


def installed(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is an extra")


@pytest.fixture
def events(tmp_path: Path) -> Callable[[], Any]:
    """What TensorBoard itself reads in the folder."""

    def read() -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(tmp_path / "tensorboard"))
        return found.Reload()

    return read


@installed("tensorboard")
def test_tensorboard_reads_a_run_that_was_taken_up(tmp_path: Path, events: Callable[[], Any]) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    told(tmp_path, LINES[:2], "tensorboard", ends=False)
    told(tmp_path, LINES[2:], "tensorboard")
    found = events()
    curve = [(event.step, event.value) for event in found.Scalars("nll")]
    assert curve == [(line["iteration"], pytest.approx(line["nll"])) for line in LINES]
    said = HParamsPluginData.FromString(
        found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info.hparams
    assert {name: value.number_value for name, value in said.items()} == {"seed": 3, "recipe.hidden": 8}
    (picture,) = found.Images("curves")
    assert (picture.step, picture.encoded_image_string[:4]) == (400, b"\x89PNG")


@installed("tensorboard")
def test_tensorboard_passes_over_what_began_anew(tmp_path: Path, events: Callable[[], Any]) -> None:
    told(tmp_path, LINES, "tensorboard")
    (tmp_path / "log.jsonl").unlink()
    told(tmp_path, LINES[:2], "tensorboard")
    assert [event.step for event in events().Scalars("nll")] == [0, 100]


POINTS = [(line["iteration"], line["nll"]) for line in LINES]


def told_in_two(folder: Path, tracker: str) -> str:
    """A run that is taken up; what its tracker calls it."""
    told(folder, LINES[:2], tracker, ends=False)
    told(folder, LINES[2:], tracker)
    return str(json.loads((folder / NOTED).read_text())[tracker]["run"])


@installed("mlflow")
def test_mlflow_keeps_a_run_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with warnings.catch_warnings(action="ignore"):  # of what the package imports
        run = told_in_two(tmp_path, "mlflow")
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
        found = client.get_run(run)
        assert [(one.step, one.value) for one in client.get_metric_history(run, "nll")] == POINTS
        assert found.data.params == {"seed": "3", "recipe.hidden": "8"}
        assert (found.info.status, found.info.run_name) == ("FINISHED", tmp_path.name)
        assert [file.path for file in client.list_artifacts(run)] == ["curves.png"]


@installed("trackio")
def test_trackio_keeps_a_run_of_its_project(tmp_path: Path) -> None:
    """In a process of its own: where the store is, is read when the package is imported."""
    code = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path\n"
        "from test_data_tracking import told_in_two; told_in_two(Path(sys.argv[1]), 'trackio')"
    )
    where = os.environ | {"TRACKIO_DIR": str(tmp_path / "store")}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "project" / "run"], env=where, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == "", done.stderr
    with closing(sqlite3.connect(tmp_path / "store" / "project.db")) as store:
        lines = store.execute("select run_name, step, metrics from metrics order by id").fetchall()
        ((config,),) = store.execute("select config from configs").fetchall()
    kept = [(name, step, json.loads(metrics)) for name, step, metrics in lines]
    assert kept[:-1] == [("run", step, {"nll": value}) for step, value in POINTS]
    assert kept[-1][:2] == ("run", 400) and list(kept[-1][2]) == ["curves"]
    assert {"seed": 3, "recipe.hidden": 8}.items() <= json.loads(config).items()


@installed("wandb")
def test_wandb_keeps_a_run_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings(action="ignore"):
        run = told_in_two(tmp_path, "wandb")
        from wandb.proto.wandb_internal_pb2 import Record
    points = list[tuple[int, float]]()
    for path in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb")):
        assert path.stem == f"run-{run}"
        content = path.read_bytes()
        at = 7  # of the file itself; then records, each after its checksum, length and kind
        while at + 7 <= len(content):
            size = int.from_bytes(content[at + 4 : at + 6], "little")
            record = Record.FromString(content[at + 7 : at + 7 + size])
            line = {(one.key or one.nested_key[0]): json.loads(one.value_json) for one in record.history.item}
            points += [(line["iteration"], line["nll"])] if "nll" in line else []
            at += 7 + size
    assert points == POINTS
