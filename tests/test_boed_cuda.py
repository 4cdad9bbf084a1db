"""On a GPU the design agrees with the CPU's within tolerance."""

from pathlib import Path

import pytest
import torch
from boed_tiny import pointer_dataset

from boed.approximations import Approximations
from boed.fit import fit
from boed.search import Designer, greedy_designs

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_designs_agree_with_the_cpu(tmp_path: Path) -> None:
    dataset = pointer_dataset()
    learned = fit(dataset, tmp_path, glimpses=2, iterations=40, width=16)
    on_gpu = Approximations.load(tmp_path, dataset, "cuda")
    rows = torch.arange(len(dataset["design"]))
    here = greedy_designs(Designer(learned), dataset["design"], rows, 2, [0.0, 0.5], seed=0)
    there = greedy_designs(
        Designer(on_gpu), dataset["design"].to("cuda"), rows.to("cuda"), 2, [0.0, 0.5], seed=0
    )
    torch.testing.assert_close(there.epe_map[:, 0].cpu(), here.epe_map[:, 0], rtol=1e-3, atol=1e-4)
    same = (there.locations.cpu() == here.locations).all(-1).float().mean()
    assert same > 0.95  # places whose scores are equal up to rounding may be exchanged


def test_a_fit_on_the_gpu_designs(tmp_path: Path) -> None:
    dataset = pointer_dataset()
    learned = fit(dataset, tmp_path, device="cuda", glimpses=2, iterations=40, width=16)
    rows = torch.arange(5, device="cuda")
    designs = greedy_designs(
        Designer(learned), dataset["design"].to("cuda"), rows, 2, learned.weights, seed=0
    )
    assert designs.epe.isfinite().all() and designs.locations.is_cuda
