"""Ray on this machine: two workers, of which one is killed in the middle, make the bytes of one process."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boed_tiny import pointer_dataset
from engines_tiny import Killed, Square, square

import boed.generation
from boed.approximations import Approximations
from boed.engines.engine import Engine
from boed.engines.registry import engine
from boed.search.designer import Designer
from boed.stored_designs import store_designs
from data.errors import SettingsError, WorkerError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'boed-hardattn[ray]'")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def two() -> Iterator[Engine]:
    """Two workers, of a cluster that is started once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        before = signal.getsignal(signal.SIGTERM)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        signal.signal(signal.SIGTERM, before)
        yield engine("ray", workers=2)
        ray.shutdown()


def test_each_thing_is_done_once_and_the_work_goes_to_each_worker_once(two: Engine, tmp_path: Path) -> None:
    made = dict(two(Square(tmp_path), range(12)))
    assert {n: square for n, (square, _) in made.items()} == {n: n**2 for n in range(12)}
    processes = {process for _, process in made.values()}
    assert os.getpid() not in processes
    assert sorted(int(file.name.split("-")[0]) for file in tmp_path.iterdir()) == sorted(processes)


def test_what_the_work_raises_is_raised(two: Engine) -> None:
    with pytest.raises(SettingsError, match="^expected luck, found 13; take another$"):
        dict(two(square, [1, 13]))


def test_designs_of_which_a_worker_is_killed_are_those_of_one_process(
    two: Engine, tmp_path: Path, pointer_fit: Approximations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    monkeypatch.setattr(boed.generation, "BLOCK", 7)
    designer, begun = Designer(replace(pointer_fit, weights=(0.0, 1.0, 1.0))), tmp_path / "begun"
    begun.mkdir()

    class Killing:
        here = False

        def __call__(self, work: Callable[..., Any], things: Any) -> Any:
            return two(Killed(work, begun), things)

    whole, spread = (tmp_path / f"{name}.h5" for name in ("whole", "spread"))
    store_designs(whole, designer, pointer_dataset())
    store_designs(spread, designer, pointer_dataset(), engine=Killing())
    assert begun.with_name("killed").exists() and len(list(begun.iterdir())) > 8
    assert spread.read_bytes() == whole.read_bytes()


def test_no_cluster_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def unreachable(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nMore of it.")

    monkeypatch.setattr(ray, "init", unreachable)
    with pytest.raises(WorkerError, match="a Ray cluster at auto, found: Could not .*; start one") as told:
        dict(engine("ray", address="auto")(square, [1]))
    assert "\n" not in str(told.value)


def test_an_address_where_nobody_answers_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(WorkerError, match=r"a Ray cluster at ray://127\.0\.0\.1:1, found: .*refused"):
        dict(engine("ray", address="ray://127.0.0.1:1")(square, [1]))


def test_without_anything_to_do_no_cluster_is_asked_for() -> None:
    assert dict(engine("ray", address="ray://127.0.0.1:1")(square, [])) == {}


def test_sigterm_is_answered_as_before(two: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray takes it for itself."""
    before = signal.getsignal(signal.SIGTERM)
    answers = iter([False])
    monkeypatch.setattr(ray, "is_initialized", lambda: next(answers, True))
    monkeypatch.setattr(ray, "init", lambda **_: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    assert [made for made, _ in dict(two(square, [3])).values()] == [9]
    assert signal.getsignal(signal.SIGTERM) == before
