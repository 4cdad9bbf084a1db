"""The package of the documentation that adds one of each: installed, it is found by name, and works."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "plugin"
LONGEST = 20  # lines of one addition


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the path of Python, as an installer leaves it."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    for module in project["tool"]["setuptools"]["py-modules"]:
        shutil.copy(EXAMPLE / f"{module}.py", site)
    about = site / f"glimpse_plugin-{project['project']['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: glimpse-plugin\nVersion: 0.1\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["project"]["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    return site


def python(code: str, site: Path, folder: Path) -> Any:
    """What code prints as JSON, where the example is installed."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


NAMES = """
import json, sys
from boed.combination import CHOICES
from data.registry import DATASETS
from hardattn.baselines.registry import BASELINES
from hardattn.model.registry import CORES, ENCODERS, POLICIES
from hardattn.objectives.registry import METHODS
from hardattn.stopping.registry import RULES
registries = (DATASETS, ENCODERS, CORES, POLICIES, METHODS, RULES, BASELINES)
names = {kind: list(names) for kind, names in CHOICES.items()}
names |= {registry.kind: list(registry) for registry in registries}
late = ("glimpse_plugin", "glimpse_plugin_network", "torch")
print(json.dumps([names, [name for name in late if name in sys.modules]]))
"""


def test_names_are_known_before_anything_is_imported(installed: Path, tmp_path: Path) -> None:
    names, imported = python(NAMES, installed, tmp_path)
    assert imported == []
    added = {
        "data set": "stripes",
        "posterior": "edges",
        "completion": "mean-image",
        "estimator": "farthest",
        "encoder": "squares",
        "core": "leaky",
        "policy": "pointer",
        "method": "end-to-end",
        "stopping rule": "margin",
        "baseline": "logistic",
    }
    for kind, name in added.items():
        assert names[kind][-1] == name


FITTED = """
import json
import boed
from data import load
stripes, found = load("stripes", count=150), []
for number, combination in enumerate((
    boed.Combination.of(posterior="edges", completion="mean-image"),
    boed.Combination(posterior="edges", estimator="farthest"),
)):
    fitted = boed.fit(stripes, combination=combination, iterations=600, device="cpu")
    fitted.save(f"kept-{number}")
    designs, again = [
        boed.design(one, stripes["design"], completions=5, shrink=False)
        for one in (fitted, boed.load(f"kept-{number}", device="cpu"))
    ]
    same = (designs.places == again.places).all().item()
    places, entropy = designs.places[:, :, :2].tolist(), designs.entropy.mean(0).tolist()
    found.append([fitted.combination.tag, same, places, entropy])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return python(FITTED, installed, tmp_path_factory.mktemp("work"))


def test_what_was_added_fits_and_designs(found: Any) -> None:
    assert [tag for tag, *_ in found] == ["-edges-mean-image-entropy", "-edges-farthest"]
    for _, same, places, entropy in found:
        assert same and len(places) > 10
        assert entropy[0] > 0.6 > 0.3 > entropy[-1]  # two glimpses tell how the stripes run


def test_the_estimator_looks_far_from_where_it_was(found: Any) -> None:
    _, _, places, _ = found[1]
    assert min(abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in places) >= 8


TRAINED = """
import json
import hardattn
from data import load
from hardattn.baselines.training import train_baseline
from hardattn.evaluation import evaluate
stripes = load("stripes", count=400)
model = hardattn.train(
    stripes, method="end-to-end", device="cpu", budget=hardattn.Budget(epochs=15),
    recipe=hardattn.Recipe(
        encoder="squares", core="leaky", policy="pointer", hidden=32, batch_size=32, learning_rate=1e-2
    ),
)
model.save("network")
model, test = hardattn.load("network", device="cpu"), stripes["test"]
point = next(p for p in model.evaluate(test).curve if p.rule == "margin" and 1.2 < p.mean_glimpses < 1.8)
answers = model.predict(test.images, hardattn.Stop("margin", point.threshold))
folder = train_baseline(stripes, "baseline", "logistic", budget=hardattn.Budget(epochs=3), device="cpu")
baseline = evaluate(folder, dataset=stripes).accuracy_at
print(json.dumps([point.mean_glimpses, answers.taken.mean(), point.accuracy, baseline]))
"""


def test_what_was_added_trains_and_stops(installed: Path, tmp_path: Path) -> None:
    mean_glimpses, taken, accuracy, baseline = python(TRAINED, installed, tmp_path)
    assert taken == pytest.approx(mean_glimpses)
    assert accuracy > 0.9
    assert all(0.2 < value <= 1 for value in baseline.values())


def test_each_addition_is_short() -> None:
    texts = [path.read_text() for path in EXAMPLE.glob("*.py")]
    parts = [part for text in texts for part in text.split("\n# --- ")[1:]]
    assert len(parts) == 10
    for part in parts:
        lines = [line for line in part.splitlines()[1:] if line.strip()]
        assert len(lines) < LONGEST, part.splitlines()[0]
