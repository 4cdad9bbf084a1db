"""Approximations are fitted, and designs made, on a device that refuses to mix with the CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset

from boed.approximations import Approximations
from boed.completions.factor_analysis import fit_factor_analysis
from boed.fitting.fit import fit
from boed.generation import candidates_of, design_settings, generate
from boed.search.designer import Designer, design_sequences
from supervision.store import SequenceStore

STEPS = 3
FEW: dict[str, Any] = {"glimpses": STEPS, "iterations": 4, "width": 12, "resolution": 12}


def test_a_fit_there_generates_sequences(tmp_path: Path, twin: list[str]) -> None:
    dataset = pointer_dataset(train=40)
    designer = Designer(fit(dataset, tmp_path, device="twin", **FEW), memory_gb=0.0)
    ids = dataset["design"].ids[:5]
    settings = design_settings(dataset, designer, source="design", seed=0)
    places = candidates_of(designer.learned, "design")
    store = SequenceStore.write_to(tmp_path / "s.h5", settings, ids, STEPS, places)
    split = dataset["design"].to("twin")
    generate(designer, split, store, glimpses=STEPS)
    assert store.done.all() and store.load(torch.arange(5)).entropy.isfinite().all()


def test_images_are_completed_there(twin: list[str]) -> None:
    split = pointer_dataset(train=40)["train"].to("twin")
    rows, places = torch.arange(40, device="twin"), PLACES[:2].to("twin").expand(40, -1, -1)
    completion = fit_factor_analysis(split, rows, GEOMETRY, factors=4, resolution=12)
    glimpses = GEOMETRY.retina()(split.images, rows, places)
    noise = torch.rand(2, 3, completion.noise, device="twin")
    assert completion.complete(glimpses[:2], places[:2], noise).device.type == "twin"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of approximations that were fitted on the CPU."""
    folder = tmp_path_factory.mktemp("fitted")
    fit(pointer_dataset(train=40), folder, device="cpu", **FEW)
    return folder


@pytest.mark.parametrize("search", ["greedy", "beam"])
def test_designs_are_those_of_the_cpu(search: str, fitted: Path, twin: list[str]) -> None:
    """But for rounding; and more images are waited for no oftener."""
    dataset, folder = pointer_dataset(train=40), fitted
    found, waits = [], list[int]()
    for device, count in (("cpu", 12), ("twin", 12), ("twin", 4)):
        designer = Designer(Approximations.load(folder, dataset, device), search=search)
        split, rows = dataset["design"].to(device), torch.arange(count, device=device)
        twin.clear()
        found.append(design_sequences(designer, split, rows, STEPS, designer.weights, seed=0).cpu())
        waits.append(len(twin))
    here, there, some = found
    torch.testing.assert_close(there.epe_map, here.epe_map, rtol=1e-4, atol=1e-5)
    assert torch.equal(there.locations, here.locations) and torch.equal(some.locations, here.locations[:4])
    assert search == "beam" or waits[1] == waits[2], waits
