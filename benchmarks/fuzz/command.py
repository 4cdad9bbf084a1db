"""Thousands of files that are not as they should be, and what the command lines say to them.

    python -m benchmarks.fuzz --inputs 2000

Stores, weights and the JSON beside them, annotations, archives, images, settings and decoded caches are made
from nothing; Hypothesis flips, cuts, swaps, replaces and makes them up. Every answer is right (that to the
whole file), the one to a file that says something else now, or one line of refusal with exit code 2. All else
is a fault: a traceback, a warning, more than ten seconds, more than a gigabyte, a file written outside of the
run's folder, a pickle, an answer from bytes whose checksum is wrong. The table counts them; a fault makes the
exit code 1. The command lines run in processes forked off this one, which has imported them; a sample of the
inputs is tried in processes of their own as well.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.fuzz.archives import gzip_inputs, tar_inputs
from benchmarks.fuzz.bytes import Input, Strategy, damaged, made_up
from benchmarks.fuzz.cases import VICTIM, cases
from benchmarks.fuzz.images import image_inputs
from benchmarks.fuzz.judge import (
    CHANGED,
    FAULT,
    MEGABYTES,
    REFUSED,
    RIGHT,
    SECONDS,
    Case,
    House,
    Outcome,
    limit_memory,
    tried,
)
from benchmarks.fuzz.stores import hdf5_inputs
from benchmarks.fuzz.tensors import safetensors_inputs
from benchmarks.fuzz.text import json_inputs, text_inputs, toml_inputs

PATIENCE = 6  # times the seconds that an answer may take, on a clock that other work slows down
HEADROOM = 3  # times the memory that an answer may take, as addresses


@dataclass
class Tally:
    """What came of the inputs so far."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[dict[str, str]] = field(default_factory=list)
    megabytes: float = 0.0
    seconds: float = 0.0

    def add(self, case: Case, made: Input, outcome: Outcome) -> None:
        """One more."""
        self.counts[case.kind, outcome.verdict] += 1
        self.megabytes = max(self.megabytes, outcome.megabytes)
        self.seconds = max(self.seconds, outcome.seconds)
        if outcome.verdict == FAULT:
            self.faults.append({"kind": case.kind, "name": case.name, "how": made.how, "told": outcome.told})

    def table(self) -> str:
        """A line for each kind, and one for all."""
        columns = (RIGHT, CHANGED, REFUSED, FAULT)
        head = f"{'kind':<12} {'inputs':>7}" + "".join(f"{name:>9}" for name in columns)
        kinds = list(dict.fromkeys(kind for kind, _ in self.counts))
        rows = [(kind, [self.counts[kind, name] for name in columns]) for kind in kinds]
        rows.append(("all", [sum(row[1][at] for row in rows) for at in range(len(columns))]))
        lines = [f"{kind:<12} {sum(row):>7}" + "".join(f"{count:>9}" for count in row) for kind, row in rows]
        return "\n".join([head, *lines])


def inputs_of(case: Case, house: House, *, large: bool = True) -> Strategy:
    """The inputs that suit the format of a case.

    Args:
        large: whether files are among them that unpack to hundreds of megabytes.
    """
    name, whole = case.path.name, case.whole
    if name.endswith(".h5"):
        return hdf5_inputs(whole, str(house.outside / VICTIM))
    by_ending: dict[str, Callable[[bytes], Strategy]] = {
        ".safetensors": safetensors_inputs,
        ".json": json_inputs,
        ".jsonl": json_inputs,
        ".toml": toml_inputs,
        ".txt": text_inputs,
        ".tar": partial(tar_inputs, large=large),
        ".tar.gz": partial(tar_inputs, large=large),
        ".gz": partial(gzip_inputs, large=large),
        ".png": partial(image_inputs, large=large),
        ".jpg": partial(image_inputs, large=large),
    }
    for ending, inputs in by_ending.items():
        if name.endswith(ending):
            return inputs(whole)
    return damaged(whole) | made_up((whole[:16],))


def generated(inputs: Strategy, count: int, start: int) -> list[Input]:
    """So many inputs, always the same ones."""
    made, known = list[Input](), set[bytes]()
    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @quiet
    @given(inputs)
    def note(one: Input) -> None:
        if one.content not in known:
            known.add(one.content)
            made.append(one)

    for another in range(10):
        seed(start + another)(note)()
        if len(made) >= count:
            break
    return made[:count]


def shares(every: Sequence[Case], inputs: int) -> list[int]:
    """How many inputs each case gets: as many as all, by weight."""
    total, spent, so_far = sum(case.weight for case in every), 0, 0.0
    counts = []
    for case in every:
        so_far += case.weight
        counts.append(round(inputs * so_far / total) - spent)
        spent += counts[-1]
    return counts


class Worker:
    """A process forked off this one, which tries inputs; another takes its place where it dies or hangs."""

    def __init__(self, house: House, every: Sequence[Case], answers: Sequence[str]) -> None:
        self.house, self.every, self.answers = house, every, answers
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._here, there = context.Pipe()
        self._process = context.Process(target=self._work, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def _work(self, there: Connection) -> None:
        limit_memory(HEADROOM * MEGABYTES)
        while True:
            number, made = there.recv()
            there.send(tried(self.house, self.every[number], made, self.answers[number]))

    def outcome(self, number: int, made: Input) -> Outcome:
        """Of one input."""
        spent, begun = self._cpu(), time.monotonic()
        self._here.send((number, made))
        while not self._here.poll(0.2):
            dead, late = not self._process.is_alive(), self._cpu() - spent > SECONDS
            if dead or late or time.monotonic() - begun > PATIENCE * SECONDS:
                self.close()
                code = self._process.exitcode
                told = f"killed by signal {-code}" if dead and code else f"no answer within {SECONDS:g} s"
                self.house.restored(self.house.root)
                self._start()
                return Outcome(FAULT, told, 0.0, time.monotonic() - begun)
        try:
            return self._here.recv()  # type: ignore[no-any-return]
        except EOFError:
            self._process.join()
            self.house.restored(self.house.root)
            told = f"ended with exit code {self._process.exitcode}"
            self._start()
            return Outcome(FAULT, told, 0.0, time.monotonic() - begun)

    def _cpu(self) -> float:
        """Seconds of CPU that the process has had."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()


def whole_answers(house: House, every: Sequence[Case]) -> list[str]:
    """The answers to the whole files; a fault among them is this benchmark's own."""
    found = []
    for case in every:
        outcome = tried(house, case, Input(case.whole, "whole"), None)
        if outcome.verdict != RIGHT:
            raise RuntimeError(f"{case.kind} {case.name}: {outcome}")
        found.append(outcome.answer)
    return found


def apart(house: House, case: Case, made: Input) -> str:
    """What was wrong with the answer of a process of its own, "" if nothing."""
    if not isinstance(case.run, tuple):
        return ""
    case.path.write_bytes(made.content)
    command = [sys.executable, "-m", str(case.run[0].name), *case.run[1]]
    run = subprocess.run(command, cwd=house.run, capture_output=True, check=False, timeout=120, env=_around())
    house.restored(house.root)
    last = run.stderr.decode(errors="replace").strip().splitlines()[-1:]
    fine = run.returncode == 0 or (run.returncode == 2 and last[0].startswith("error: "))
    return "" if fine and b"Traceback" not in run.stderr else f"exit code {run.returncode}: {last}"


def _around() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


@click.command()
@click.option("--inputs", default=2000, show_default=True, help="How many in all.")
@click.option("--only", help="Kinds and names that begin so.")
@click.option(
    "--own", default=20, show_default=True, help="How many are tried in processes of their own too."
)
@click.option("--seed", "start", default=0, show_default=True, help="Of the inputs.")
@click.option("--report", type=click.Path(path_type=Path), help="JSON lines of the faults.")
def main(inputs: int, only: str | None, own: int, start: int, report: Path | None) -> None:
    """Tries so many inputs, prints the table, and ends with 1 if there was a fault."""
    with TemporaryDirectory(prefix="fuzz-") as root:
        os.environ["BOED_CACHE"], os.environ["MPLCONFIGDIR"] = f"{root}/cache", f"{root}/cache/plots"
        house = House(Path(root))
        every = [case for case in cases(house) if f"{case.kind} {case.name}".startswith(only or "")]
        tally = fuzzed(house, every, inputs, own, start)
    click.echo(tally.table())
    for fault in tally.faults:
        click.echo(json.dumps(fault), err=True)
    click.echo(f"at most {tally.megabytes:.0f} MB and {tally.seconds:.1f} s for an answer")
    if report:
        report.write_text("".join(json.dumps(fault) + "\n" for fault in tally.faults))
    sys.exit(bool(tally.faults))


def fuzzed(house: House, every: Sequence[Case], inputs: int, own: int, start: int) -> Tally:
    """So many inputs, tried one after the other."""
    tally, worker, number = Tally(), Worker(house, every, whole_answers(house, every)), 0
    for at, (case, count) in enumerate(zip(every, shares(every, inputs), strict=True)):
        for made in generated(inputs_of(case, house), count, 1000 * start + 20 * at) if count else ():
            tally.add(case, made, worker.outcome(at, made))
            number += 1
            if own and number % max(1, inputs // own) == 0 and (wrong := apart(house, case, made)):
                tally.add(case, made, Outcome(FAULT, wrong, 0.0, 0.0))
        click.echo(f"{case.kind}, {case.name}: {count}", err=True)
    worker.close()
    return tally
