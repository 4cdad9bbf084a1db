"""Files that are not as they should be: a small sample of the benchmark, always the same one."""

import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from benchmarks.fuzz import judge as fuzz_judge
from benchmarks.fuzz.bytes import Input
from benchmarks.fuzz.cases import cases
from benchmarks.fuzz.command import Tally, generated, inputs_of, shares, whole_answers
from benchmarks.fuzz.judge import CHANGED, FAULT, REFUSED, RIGHT, Case, House, tried

SAMPLE = 60
SLOW = ("drawn", "imitated", "evaluated", "evaluation.json", "last.safetensors")  # a second each


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("house")
        patch.setenv("BOED_CACHE", str(root / "cache"))
        yield House(root)


@pytest.fixture(scope="module")
def every(house: House) -> list[Case]:
    return [case for case in cases(house, fitted=False) if not case.name.endswith(SLOW)]


def test_every_answer_is_right_or_one_line(house: House, every: list[Case]) -> None:
    tally, answers = Tally(), whole_answers(house, every)
    for at, (case, count) in enumerate(zip(every, shares(every, SAMPLE), strict=True)):
        for made in generated(inputs_of(case, house, large=False), max(1, count), 20 * at):
            tally.add(case, made, tried(house, case, made, answers[at]))
    assert not tally.faults
    assert tally.counts.total() > SAMPLE / 2
    verdicts = {verdict for _, verdict in tally.counts}
    assert verdicts == {RIGHT, CHANGED, REFUSED}


def refused(line: str) -> None:
    click.echo(line, err=True)
    raise SystemExit(2)


def warned() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *rest: click.echo(f"a.py:1: UserWarning: {message}", err=True)
        warnings.warn("something is wrong", stacklevel=1)
    return "1"


class Other:
    """Something that only a pickle brings back."""


SLIPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an error": (lambda root: dict[str, int]()["missing"], "KeyError"),
    "a refusal in other words": (lambda root: refused("error: no"), "no refusal in one line"),
    "a refusal in two lines": (
        lambda root: refused("error: expected a, found b\nerror: expected a, found b"),
        "no refusal in one line",
    ),
    "another exit code": (lambda root: exit(3), "exit code 3"),
    "a warning": (lambda root: warned(), "something is wrong"),
    "a file outside": (lambda root: (root / "outside/new").write_text("1"), "touched open"),
    "a folder outside": (lambda root: (root / "outside/folder").mkdir(), "touched os.mkdir"),
    "a pickle": (lambda root: pickle.loads(pickle.dumps(Other())), "pickle.find_class"),
    "another answer": (lambda root: "2", "another answer"),
    "no answer": (lambda root: "none", "cannot be read"),
    "memory": (lambda root: len(b"1" * (512 << 20)) >> 29, "took"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_what_is_no_answer_is_noticed(house: House, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_judge, "MEGABYTES", 32)
    slip, words = SLIPS[name]
    path = house.root / "inputs" / "slip"
    case = Case("slip", name, path, b"1", lambda: slip(house.root), int, checked=True)
    outcome = tried(house, case, Input(b"2", "flipped"), "1")
    assert outcome.verdict == FAULT and words in outcome.told, outcome
    assert not any(house.outside.glob("new"))


def test_answers_are_told_apart(house: House) -> None:
    path = house.root / "inputs" / "slip"
    case = Case("slip", "number", path, b"1", lambda: path.read_text(), int)
    verdicts = [tried(house, case, Input(content, ""), "1").verdict for content in (b"1", b"01", b"2")]
    assert verdicts == [RIGHT, RIGHT, CHANGED]
    assert not house.restored(house.root / "nowhere")
