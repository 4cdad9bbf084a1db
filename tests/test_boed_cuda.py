"""On a GPU the design agrees with the CPU's within tolerance."""

from pathlib import Path
from typing import Any

import pytest
import torch
from boed_tiny import pointer_dataset

from boed.approximations import Approximations
from boed.combination import Combination
from boed.fitting.fit import fit
from boed.search.designer import Designer, design_sequences

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_designs_agree_with_the_cpu(tmp_path: Path) -> None:
    dataset = pointer_dataset()
    learned = fit(dataset, tmp_path, glimpses=2, iterations=40, width=16)
    on_gpu = Approximations.load(tmp_path, dataset, "cuda")
    rows = torch.arange(len(dataset["design"]))
    here = design_sequences(Designer(learned), dataset["design"], rows, 2, [0.0, 0.5], seed=0)
    there = design_sequences(
        Designer(on_gpu), dataset["design"].to("cuda"), rows.to("cuda"), 2, [0.0, 0.5], seed=0
    )
    torch.testing.assert_close(there.epe_map[:, 0].cpu(), here.epe_map[:, 0], rtol=1e-3, atol=1e-4)
    same = (there.locations.cpu() == here.locations).all(-1).float().mean()
    assert same > 0.95  # places whose scores are equal up to rounding may be exchanged


WAYS = [
    (Combination(), {"shrink": False}),
    (Combination(), {"coarse": True}),
    (Combination(score="information"), {}),
    (Combination(), {"search": "beam"}),
    (Combination(score="entropy"), {"search": "lookahead"}),
    (Combination.of(completion="gaussian"), {"shrink": False}),
    (Combination.of(completion="proposals"), {"shrink": False}),
    (Combination.of(completion="cvae"), {"search": "beam"}),
    (Combination(estimator="amortised"), {"shrink": False}),
    (Combination(posterior="avp-cnn"), {"memory_gb": 0.0}),
]


@pytest.mark.parametrize(("combination", "options"), WAYS)
def test_every_way_to_design_agrees_with_the_cpu(
    tmp_path: Path, combination: Combination, options: dict[str, Any]
) -> None:
    """The second map of images that looked at the same place first, where both were computed."""
    dataset, rows = pointer_dataset(train=100), torch.arange(20)
    few = {"glimpses": 3, "iterations": 16, "width": 12, "resolution": 12}
    maps = []
    for device in ("cpu", "cuda"):  # what is learned on the one is loaded on the other
        learned = fit(dataset, tmp_path, device=device, combination=combination, **few)
        designer, split = Designer(learned, **options), dataset["design"].to(device)
        found = design_sequences(designer, split, rows.to(device), 3, designer.weights, seed=0)
        assert found.locations.device.type == device and found.epe.isfinite().all()
        maps.append(found.epe_map[:, 1].cpu())
    both = maps[0].isfinite() & maps[1].isfinite()
    assert both.double().mean() > 0.5
    assert (maps[0] - maps[1])[both].abs().mean() < 0.05


def test_a_fit_on_the_gpu_designs(tmp_path: Path) -> None:
    dataset = pointer_dataset()
    learned = fit(dataset, tmp_path, device="cuda", glimpses=2, iterations=40, width=16)
    rows = torch.arange(5, device="cuda")
    designs = design_sequences(
        Designer(learned), dataset["design"].to("cuda"), rows, 2, learned.weights, seed=0
    )
    assert designs.epe.isfinite().all() and designs.locations.is_cuda
