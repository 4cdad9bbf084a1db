"""The device that stands in for a GPU does refuse what a GPU does, and notes what makes the CPU wait."""

from collections.abc import Callable

import pytest
import torch
from hardattn_tiny import tiny_split
from torch import Tensor, nn

from data.averaging import averages
from data.device import choose_device, fits
from data.gpu import constant, mixed_precision, sent
from data.grid import LocationGrid

HERE, THERE = "cpu", "twin"

MIXED: dict[str, Callable[[], object]] = {
    "a sum": lambda: torch.ones(3, device=THERE) + torch.ones(3),
    "an index of the other device": lambda: torch.ones(3, device=THERE)[torch.tensor([0, 1])],
    "the index of a tensor of the CPU": lambda: torch.ones(3)[torch.tensor([0, 1], device=THERE)],
    "a layer": lambda: nn.Linear(3, 1)(torch.ones(2, 3, device=THERE)),
    "a generator of the CPU": lambda: torch.rand(2, generator=torch.Generator(), device=THERE),
    "a generator of the device": lambda: torch.rand(2, generator=torch.Generator(THERE)),
    "numpy": lambda: torch.ones(3, device=THERE).numpy(),
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_do_not_mix(name: str, twin: list[str]) -> None:
    with pytest.raises((RuntimeError, TypeError), match="twin|another device"):
        MIXED[name]()


WAITING: dict[str, Callable[[Tensor], object]] = {
    "a number": lambda x: x.sum().item(),
    "a decision": lambda x: bool((x > 1).any()),
    "a list": lambda x: x.tolist(),
    "a copy": lambda x: x.cpu(),
    "a constant": lambda x: torch.tensor([1.0], device=THERE),
    "a mask": lambda x: x[x > 1],
    "places": lambda x: (x > 1).nonzero(),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_the_cpu_waits_for_is_noted(name: str, twin: list[str]) -> None:
    x = torch.arange(4.0, device=THERE)
    assert not twin
    WAITING[name](x)
    assert len(twin) == 1


def test_what_nobody_waits_for_is_not_noted(twin: list[str]) -> None:
    network, images = nn.Linear(4, 2), torch.ones(3, 4)
    network.to(THERE)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    twin.clear()
    with mixed_precision(torch.device(THERE)):
        out = network(sent(images, torch.device(THERE)))
    out.float().logsumexp(1).mean().backward()
    optimiser.step()
    assert out.dtype == torch.bfloat16 and out.device.type == "twin" and not twin


def test_both_devices_compute_and_draw_the_same(twin: list[str]) -> None:
    torch.manual_seed(0)
    network, x = nn.GRUCell(4, 4), torch.rand(3, 4)
    expected = network(x, x)
    found = network.to(THERE)(x.to(THERE), x.to(THERE))
    torch.testing.assert_close(found.cpu(), expected)
    draws = [
        torch.rand(5, generator=torch.Generator(device).manual_seed(1), device=device)
        for device in (HERE, THERE)
    ]
    assert torch.equal(draws[0], draws[1].cpu())


def test_constants_are_sent_once(twin: list[str]) -> None:
    grid, device = LocationGrid.evenly((8, 8), 4, 2), torch.device(THERE)
    assert constant((3, 4), device) is constant([3, 4], device) and grid.on(device) is grid.on(device)
    assert not twin and constant((3, 4), device).tolist() == [3, 4]
    assert torch.equal(grid.on(device).cpu(), grid.locations)
    assert grid.on(torch.device(HERE)) is grid.locations


def test_images_that_do_not_fit_stay(twin: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    split, device = tiny_split(10, 0), choose_device("twin")
    assert fits(split, device)
    monkeypatch.setattr(torch.get_device_module("twin"), "free", 2 * split.images.numel() - 1)
    assert not fits(split, device)


def test_the_sensor_takes_products_of_all_digits(twin: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast, and where float32 products may be of fewer digits."""
    asked, before = list[str](), torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    device, images = torch.device(THERE), tiny_split(3, 0).images
    with mixed_precision(device):
        found = averages(images.to(device), 5)
    assert asked == ["highest", before] and torch.equal(found.cpu(), averages(images, 5))
    assert found.dtype == torch.float32
