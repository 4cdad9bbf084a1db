"""Engines do each thing once, also where a worker is lost, and leave nothing behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest
from engines_tiny import Killed, Square, square

import boed.engines.ray_
from boed.engines.local import Local
from boed.engines.registry import ENGINES, engine, resolved
from data.errors import SettingsError, WorkerError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "begun").mkdir()
    return tmp_path / "begun"


def test_one_worker_is_this_process() -> None:
    assert dict(engine()(square, range(5))) == {n: (n**2, os.getpid()) for n in range(5)}
    assert resolved("local").here and resolved(Local(2)) is not None


def test_things_are_taken_one_at_a_time() -> None:
    taken = list[int]()

    def things() -> Iterator[int]:
        for n in range(5):
            taken.append(n)
            yield n

    made = Local()(square, things())
    assert next(made)[0] == 0 and taken == [0]


def test_each_thing_is_done_once_by_several_processes(folder: Path) -> None:
    """Of which each gets the work once, and no more things are taken than there are workers for."""
    taken, done = list[int](), dict[int, tuple[int, int]]()

    def things() -> Iterator[int]:
        for n in range(12):
            taken.append(n)
            assert len(taken) - len(done) <= 4
            yield n

    for number, made in Local(2)(Square(folder), things()):
        assert number not in done
        done[number] = made
    assert {n: made for n, (made, _) in done.items()} == {n: n**2 for n in range(12)}
    processes = {process for _, process in done.values()}
    assert len(processes) == 2 and os.getpid() not in processes
    assert sorted({int(file.name.split("-")[0]) for file in folder.iterdir()}) == sorted(processes)
    assert len(list(folder.iterdir())) == 2 and not active_children()


def test_what_a_lost_worker_had_is_done_again(folder: Path) -> None:
    done = dict(Local(2)(Killed(square, folder), range(6)))
    assert {n: made for n, (made, _) in done.items()} == {n: n**2 for n in range(6)}
    assert folder.with_name("killed").exists()
    assert len(list(folder.iterdir())) > 6  # some of it twice
    assert not active_children()


def test_what_always_kills_is_given_up() -> None:
    with pytest.raises(WorkerError, match="one lost 3 times with nothing finished between; .*--workers"):
        dict(Local(2)(square, [17]))


def test_what_the_work_raises_is_raised_and_no_worker_is_left() -> None:
    with pytest.raises(SettingsError, match="expected luck, found 13; take another"):
        dict(Local(2)(square, [1, 13, 2]))
    assert not active_children()


def test_closing_leaves_no_worker(folder: Path) -> None:
    made = Local(2)(square, range(100, 200))
    next(made)
    assert active_children()
    made.close()
    assert not active_children()


ORPHANS = """
import os, signal
from boed.engines.local import Local
from engines_tiny import square

if __name__ == "__main__":
    made = Local(2)(square, range(100, 200))
    print(*{next(made)[1][1] for _ in range(20)}, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, tmp_path / "orphans.py"], env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    workers, until = [int(word) for word in done.stdout.split()], time.monotonic() + 60
    assert workers
    while alive := [worker for worker in workers if Path(f"/proc/{worker}").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("slurm", {}, "expected an engine of local, ray; found 'slurm'"),
        ("local", {"workers": 0}, "expected workers of at least 1, found 0"),
        ("local", {"address": "auto"}, "expected --engine ray with --address auto, found local"),
        ("ray", {"workers": 0}, "expected workers of at least 1, found 0"),
    ],
)
def test_impossible_engines_are_refused(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        engine(name, **options)


def test_where_ray_is_not_installed_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"expected Ray for .*; pip install 'boed-hardattn\[ray\]'"):
        ENGINES["ray"]()
    assert boed.engines.ray_.Ray is ENGINES["ray"]
