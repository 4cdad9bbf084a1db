"""Shared by all tests: a cache of their own, one thread, and made-up or real data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from boed_tiny import pointer_dataset
from PIL import Image

from boed.approximations import Approximations
from boed.fitting.fit import fit

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of this session; one thread."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Folder of a real data set; the test is skipped where it is absent."""
    root = Path(os.environ.get("BOED_TEST_DATA") or REPOSITORY.parent / "shared" / "data")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real {name} in {root}; set BOED_TEST_DATA to a folder that has it")
        return root / name

    return folder


@pytest.fixture(scope="session")
def write_photo() -> Callable[..., None]:
    """Writes a noise image; `seed` fixes its pixels."""

    def write(path: Path, seed: int, size: tuple[int, int] = (40, 30)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture(scope="session")
def pointer_fit(tmp_path_factory: pytest.TempPathFactory) -> Approximations:
    """Approximations fitted to the made-up task in which it pays to adapt."""
    return fit(pointer_dataset(), tmp_path_factory.mktemp("pointer"), iterations=240, width=24)


@pytest.fixture
def twin() -> Iterator[list[str]]:
    """A machine with a device `twin`, see `twin_device`; where the CPU waited for it."""
    module = pytest.importorskip("torch.utils.backend_registration")
    if not hasattr(module, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no hooks for a device in Python")
    from twin_device import twin_machine, waits

    with twin_machine():
        yield waits
