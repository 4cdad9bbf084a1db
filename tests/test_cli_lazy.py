"""Help and refusals come before anything slow: nothing of torch is imported for them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from boed.cli.main import main as boed
from data.version import SOFTWARE
from hardattn.cli.main import main as hardattn

ROOT = Path(__file__).resolve().parents[1]
SLOW = ("torch", "numpy", "h5py", "matplotlib", "pyro", "sklearn", "scipy", "PIL")
CALLED = """
import json, sys
from click.testing import CliRunner
from boed.cli.main import main as boed
from hardattn.cli.main import main as hardattn

slow, *lines = json.loads(sys.stdin.read())
for line in lines:
    name, *words = line.split()
    done = CliRunner().invoke({"boed": boed, "hardattn": hardattn}[name], words)
    imported = [name for name in slow if name in sys.modules]
    print(json.dumps([done.exit_code, done.stdout, done.stderr, imported]))
"""
HELP = [
    "boed --help",
    "hardattn --help",
    *(
        f"{group.name} {name} --help"
        for group in (boed, hardattn)
        for name in group.list_commands(click.Context(group))
    ),
]
VERSION = ("boed --version", "hardattn --version")
REFUSED = {
    "boed fit --nonsense": "--nonsense",
    "boed desing": "'desing'",
    "boed fit --posterior nonsense": "'nonsense' is not one of 'glimpse-set'",
    "boed fit --iterations many": "'many' is not a valid integer",
    "boed fit --dataset nonsense": "expected a data set of digits",
    "boed fit --sensor patch --scales 3": "expected 1 scale with --sensor patch",
    "boed fit --data-seed -1": "--data-seed of at least 0, found -1",
    "boed fit --attribute Male": "expected no attribute for digits",
    "boed fit --canvas 3": "expected no canvas for digits",
    "boed fit --data-root /nope": "expected no data root for digits",
    "boed fit --dataset celebahq": "CelebAMask-HQ-attribute-anno.txt",
    "boed fit --dataset celebahq --canvas 128": "expected no canvas for celebahq without scatter, found 128",
    "boed fit --dataset celebahq --scatter --canvas 64": "canvas for faces of up to 100 pixels, found 64",
    "hardattn train --dataset celebahq --face-widths 56": "narrowest and the widest face in pixels",
    "hardattn train --dataset celebahq --scatter --placements 0": "expected placements of scattered faces",
    "boed fit --glimpses 0": "--glimpses of at least 1, found 0",
    "boed fit --completion cvae --score cross-entropy": "expected the score entropy or information",
    "boed generate --dataset nonsense": "expected a data set of digits",
    "boed generate --search nonsense": "'nonsense' is not one of 'greedy'",
    "boed generate --search beam --coarse": "expected --search greedy with --coarse",
    "boed generate --source nonsense": "'nonsense' is not one of 'design'",
    "boed generate --engine nonsense": "expected an engine of local, ray",
    "boed generate --shard 5/4": "expected a shard I/N",
    "boed generate --address auto": "expected --engine ray with --address auto, found local",
    "boed generate --workers 0": "--workers of at least 1, found 0",
    "boed merge --out a.h5": "Missing argument 'STORE...'",
    "boed show": "a FILE of sequences, or --sample, found neither",
    "boed show --sample --canvas 3": "expected no canvas for digits",
    "boed show a.h5 --split test": "--split with --sample alone",
    "boed show a.h5 --picture nonsense": "'nonsense' is not one of 'sequences'",
    "boed compare a.h5 --judges 0": "expected judges of at least 1",
    "boed import a.tar": "expected --attribute with celebahq",
    "boed generate --memory-gb nan": "'nan' is not a number",
    "boed benchmark finite --only-default --images 0": "--images of at least 2, found 0",
    "boed benchmark finite --completions 0": "--completions of at least 1, found 0",
    "boed benchmark finite --glimpses 0": "--glimpses of at least 1, found 0",
    "hardattn train --dropout nan": "'nan' is not a number",
    "boed benchmark nonsense": "'nonsense' is not 'finite'",
    "hardattn train --core nonsense": "'nonsense' is not one of 'gru'",
    "hardattn train --method nonsense": "expected a method of ps-nogs",
    "hardattn train --dataset nonsense": "expected a data set of digits",
    "hardattn train --epochs 1 --minutes 1": "expected --epochs or --minutes, found both",
    "hardattn train --device foo": "expected device auto, cpu or cuda; found 'foo'",
    "hardattn train --tracker nonsense": "expected a tracker of tensorboard",
    "boed fit --tracker nonsense": "expected a tracker of tensorboard",
    "hardattn train --patience 0": "--patience of at least 1, found 0",
    "hardattn train --time-limit 0": "expected a finite time limit above 0 minutes, found 0.0",
    "hardattn train --glimpses 0": "--glimpses of at least 1, found 0",
    "hardattn train --glimpses -1": "--glimpses of at least 1, found -1",
    "hardattn train --canvas 3": "expected no canvas for digits",
    "hardattn train --baseline fc --canvas 3": "expected no canvas for digits",
    "hardattn train --baseline fc --core gru": "expected no --core with --baseline",
    "hardattn train --deviation 0.3": "--policy gaussian or mixture with --deviation, found categorical",
    "hardattn train --deviation learned --policy epe": "with --deviation, found epe",
    "hardattn train --width 2": "expected --baseline with --width",
    "hardattn train --reward nonsense": "expected --reward of final",
    "hardattn evaluate R --stop nope": "expected a stopping rule of fixed",
    "hardattn evaluate R --trajectories 0": "trajectories of at least 1, found 0",
    "hardattn predict R a.png --json --csv": "expected --json or --csv, found both",
    "hardattn predict R a.png --stop gain=1 --budget-glimpses 2": "expected --stop or --budget-glimpses",
    "hardattn predict R a.png --stop gai=1": "expected a stopping rule of fixed",
    "hardattn predict R a.png --stop gain=x": "expected RULE=THRESHOLD with a number",
    "boed fit --iterations 0": "--iterations of at least 1, found 0",
    "hardattn evaluate": "Missing argument 'RUN_DIR'",
    "hardattn record runs --split nonsense": "'nonsense' is not one of 'design'",
    "hardattn parts --dataset nonsense": "expected a data set of digits",
    "hardattn reproduce nonsense": "'nonsense' is not one of 'case-study'",
    "hardattn frontier --minutes soon": "'soon' is not a valid float",
    "hardattn parts --canvas 3": "expected no canvas for digits",
    "boed generate --canvas 3": "expected no canvas for digits",
    "hardattn report a --format pdf": "'pdf' is not one of 'html'",
}


class Called(NamedTuple):
    """What a command line did, and the slow packages that were imported by its end."""

    code: int
    output: str
    errors: str
    imported: list[str]


@pytest.fixture(scope="module")
def called() -> dict[str, Called]:
    """All of them one after the other in one process, so that none imports anything slow for another."""
    lines = [*HELP, *VERSION, *REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", CALLED],
        input=json.dumps([SLOW, *lines]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        line: Called(*json.loads(answer))
        for line, answer in zip(lines, done.stdout.splitlines(), strict=True)
    }


@pytest.mark.parametrize("words", HELP)
def test_help_imports_nothing_slow(words: str, called: dict[str, Called]) -> None:
    code, output, errors, imported = called[words]
    assert (code, errors, imported) == (0, "", [])
    assert output.startswith("Usage: ")


@pytest.mark.parametrize("words", VERSION)
def test_the_version_imports_nothing_slow(words: str, called: dict[str, Called]) -> None:
    assert called[words] == (0, f"{SOFTWARE}\n", "", [])


@pytest.mark.parametrize(("words", "names"), REFUSED.items())
def test_a_refusal_imports_nothing_slow(words: str, names: str, called: dict[str, Called]) -> None:
    code, output, errors, imported = called[words]
    assert (code, output, imported) == (2, "", [])
    assert errors.startswith("error: expected ") and "found" in errors and names in errors
    assert len(errors.splitlines()) == 1
