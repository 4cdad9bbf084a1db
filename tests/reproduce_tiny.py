"""Made-up tables and MNIST files for the tests of `hardattn reproduce`."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hardattn.experiments.reproduce.settings
from hardattn.experiments.reproduce.row import Row

TINY = """
dataset = "digits"
seeds = 1
glimpses = 2
published_error_percent = 50.0
published = [{ name = "somebody", error_percent = 12.9, iterations = 25100 }]

[[rows]]
name = "parts, all images"
method = "nogs-all"
sequences = "parts-train"
published_error_percent = 50.0
share = 2.0
recipe = { hidden = 16 }

[[rows]]
name = "random places"
method = "random"
recipe = { hidden = 16 }

[[rows]]
name = "the centre alone"
method = "centre"
share = 0.25
recipe = { hidden = 16 }

[[rows]]
name = "fully connected"
baseline = "fc"
recipe = { hidden = 16 }
"""


def use_table(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, name: str = "tiny") -> None:
    """Makes the text a table of that name, and the only one; networks are checked every 3 iterations."""
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / f"{name}.toml").write_text(text)
    monkeypatch.setattr(hardattn.experiments.reproduce.settings, "_tables", lambda: folder / "tables")
    monkeypatch.setattr("hardattn.training.budget.CHECK_EVERY", 3)


def write_mnist(folder: Path) -> Path:
    """120 training and 20 test images in the official files: noise, all of it lit."""
    folder.mkdir()
    for part, count in (("train", 120), ("t10k", 20)):
        random = np.random.default_rng(count)
        images = random.integers(1, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / f"{part}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


def row(method: str, validation: float, **changed: Any) -> Row:
    """A row as it might come out, with twice the error on test images."""
    figures: dict[str, Any] = {
        "task": "made-up",
        "error_percent": 2 * validation,
        "published_error_percent": None,
        "published_iterations": None,
        "published_epoch": None,
        "unseen_error_percent": None,
        "validation_percent": validation,
        "seconds": 1.0,
        "iterations": 100,
        "best_iteration": 100,
        "best_epoch": 1.0,
        "iterations_to_convergence": 100,
        "seconds_to_convergence": 1.0,
        "made_in": 0.0,
        "seed": 0,
        "mflops": 1.0,
        "parameters": 1000,
        "way": "",
        "given": {},
        "chooses": True,
        "run": "",
    }
    return Row(method=method, **(figures | changed))
