"""Nothing is lost: commands that are killed at random moments, `python -m benchmarks.survival`.

A command is killed, taken up, killed again, until it ends: that is a life. After every kill all files must
open, and what was finished must be as it was; at the end everything must have the same bytes as after a
command that was never killed, but for the seconds that stores took. Half of the kills come after a random
time, the other half right before a random file is opened for writing, renamed or written.

By nature two trainings with a budget of minutes do not do the same iterations. So the trainings have a clock
that their iterations move; then their bytes must be the same, too.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import click

from benchmarks.figures import markdown
from benchmarks.survival.commands import COMMANDS, GRID, Ended, write_settings
from benchmarks.survival.files import changed, contents, damaged, differing, rows_done
from benchmarks.survival.process import MEANS, Blow, run, touches
from benchmarks.warm import warm_up

OUT = Path("runs/survival")
MOST = 8  # kills in one life
PATIENCE = 60.0  # seconds, and ten times as long as a command takes undisturbed: then it hangs


@dataclass
class Life:
    """What came of one.

    Attributes:
        kills: blows that ended the command.
        survived: after how many of them all was whole.
        equal: whether the result is that of a command that was never killed.
        trouble: what went wrong, in words.
    """

    command: str
    number: int
    kills: int = 0
    survived: int = 0
    equal: bool = False
    trouble: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """A command that was never killed.

    Attributes:
        folder: where it began from.
        result: see `contents`.
        seconds: that it took.
        touches: how often it touched files.
    """

    folder: Path
    result: Mapping[str, str]
    seconds: float
    touches: int


class Survival:
    """Lives of one command.

    Args:
        name: a key of `COMMANDS`.
        out: folder for everything.
        seed: of the moments.
        by: a key of `MEANS`.
    """

    def __init__(self, name: str, out: Path, seed: int, by: str = "KILL") -> None:
        self.name, self.out, self.seed, self.means = name, out.resolve() / name, seed, MEANS[by]
        self.command: Ended = COMMANDS[name]
        self.out.mkdir(parents=True, exist_ok=True)
        self.tables = write_settings(self.out)
        self.log = self.out / "said.log"
        self.whole = self._whole()

    def _whole(self) -> Whole:
        start, folder = self.out / "before", self.out / "whole"
        shutil.rmtree(start, ignore_errors=True)
        start.mkdir()
        (start / "grid.toml").write_text(GRID)
        for words in self.command.before:
            self._to_the_end(words, start)
        self._anew(folder, start)
        seconds = self._to_the_end(self.command.words, folder)
        return Whole(start, contents(folder), seconds, touches(self.log))

    def _to_the_end(self, words: str, folder: Path) -> float:
        code, seconds = self._run(words, folder, None, 600.0)
        if code != 0:
            raise click.ClickException(f"{words} ended with {code} after saying\n{self.log.read_text()}")
        return seconds

    def _run(self, words: str, folder: Path, blow: Blow | None, limit: float) -> tuple[int | None, float]:
        self.log.write_text("")
        return run(words.split(), folder, self.log, self.tables, blow, limit)

    def live(self, number: int, most: int) -> Life:
        """One life, with at most so many kills."""
        life, folder = Life(self.name, number), self.out / f"life-{number}"
        moments = random.Random(f"{self.seed} {self.name} {number}")
        self._anew(folder, self.whole.folder)
        while not life.trouble:
            blow = self._blow(moments) if life.kills < most else None
            before, rows = contents(folder), rows_done(folder)
            code, _ = self._run(self.command.words, folder, blow, PATIENCE + 10 * self.whole.seconds)
            if code == 0:
                break
            if blow is None or code not in self.means.codes:
                life.trouble.append(f"ended with {code} after saying: {self.log.read_text()[-1000:]}")
                break
            life.kills += 1
            life.trouble += self._lost(folder, before, rows) + self._unsaid(code)
            life.survived += not life.trouble
        life.trouble += differing(contents(folder), self.whole.result) if not life.trouble else []
        life.equal = not life.trouble
        if life.equal:
            shutil.rmtree(folder)
        return life

    def _blow(self, moments: random.Random) -> Blow:
        if self.means.sign is not None and moments.random() < 0.5:
            return Blow(self.means, seconds=moments.uniform(0, self.whole.seconds))
        return Blow(self.means, touch=moments.randint(1, self.whole.touches))

    def _lost(
        self, folder: Path, before: Mapping[str, str], rows: Mapping[tuple[str, int], bytes]
    ) -> list[str]:
        """What was there before and is not any more, or cannot be opened."""
        lost = damaged(folder)
        if lost:
            return lost
        lost += changed(before, contents(folder), self.whole.result)
        now = rows_done(folder)
        lost += [
            f"row {image} of {name} has changed"
            for (name, image), row in rows.items()
            if now.get((name, image)) != row
        ]
        return lost

    def _unsaid(self, code: int) -> list[str]:
        """What a command said instead of the one line that it should have."""
        said = self.log.read_text()
        wrong = "Traceback" in said or (code > 0 and self.means.says not in said)
        return [f"said: {said[-1000:]}"] if wrong else []

    @staticmethod
    def _anew(folder: Path, start: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)


def shared(kills: int, names: Sequence[str]) -> dict[str, int]:
    """So many kills, spread over commands.

    >>> shared(7, ["a", "b", "c"])
    {'a': 3, 'b': 2, 'c': 2}
    """
    return {name: kills // len(names) + (n < kills % len(names)) for n, name in enumerate(names)}


def table(lives: Sequence[Life]) -> str:
    """A line for each command.

    >>> print(table([Life("fit", 0, 3, 3, True), Life("fit", 1, 2, 1, False)]))
    | command | kills | survived | lives | resumed equal |
    | ------- | ----- | -------- | ----- | ------------- |
    | fit     | 5     | 4        | 2     | 1             |
    """
    rows = []
    for name in dict.fromkeys(life.command for life in lives):
        own = [life for life in lives if life.command == name]
        figures = (sum(life.kills for life in own), sum(life.survived for life in own), len(own))
        rows.append([name, *map(str, figures), str(sum(life.equal for life in own))])
    return markdown(["command", "kills", "survived", "lives", "resumed equal"], rows)


def known_lives(path: Path) -> list[Life]:
    """Those that were noted before."""
    return [Life(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def ended(life: Life, lives: list[Life], notes: Path) -> None:
    """Notes a life."""
    lives.append(life)
    with notes.open("a") as file:
        file.write(json.dumps(asdict(life)) + "\n")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--kills", type=click.IntRange(min=1), default=100, show_default=True, help="All together.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--only", type=click.Choice(list(COMMANDS)), multiple=True, help="May be repeated.")
@click.option("--by", type=click.Choice(list(MEANS)), default="KILL", show_default=True, help="By what.")
@click.option("--minutes", type=float, help="Begin no life after so long. [default: no end]")
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True, help="For all files.")
def main(only: Sequence[str], **options: Any) -> None:
    """Kills commands at random moments, takes them up, and compares with commands that were never killed.

    Lives that are over are noted in the folder, and the same command takes it up from there. Exits with 1
    when anything was lost.

    \b
    Examples:
      python -m benchmarks.survival
      python -m benchmarks.survival --kills 10 --only train --by TERM
    """
    lives = survive(only or list(COMMANDS), **options)
    click.echo(table(lives))
    trouble = [f"{life.command}, life {life.number}: {each}" for life in lives for each in life.trouble]
    if trouble:
        sys.exit("\n".join(trouble))


def survive(
    names: Sequence[str], *, kills: int, seed: int, by: str, minutes: float | None, out: Path
) -> list[Life]:
    """The lives of all commands, with so many kills together."""
    notes, start = out / f"lives-{by}-{seed}.jsonl", time.monotonic()
    lives = [life for life in known_lives(notes) if life.command in names]
    warm_up()
    for name, wanted in shared(kills, names).items():
        had = [life for life in lives if life.command == name]
        left = wanted - sum(life.kills for life in had)
        survival = Survival(name, out, seed, by) if left > 0 else None
        for number in count(len(had)):
            late = minutes is not None and time.monotonic() - start > 60 * minutes
            if survival is None or left <= 0 or late:
                break
            ended(survival.live(number, min(MOST, left)), lives, notes)
            left -= lives[-1].kills
            click.echo(f"{name}: life {number}, {lives[-1].kills} kills, {left} to come", err=True)
    return lives
