"""Which device computes, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from data.dataset import Split
from data.device_names import require_device_name
from data.errors import SettingsError
from data.gpu import is_gpu


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises:
        SettingsError: unknown name, or "cuda" without a GPU.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    require_device_name(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("expected a CUDA device, found none; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread for a while: layers this small gain nothing from a second one, and where cores are
    shared with other work they lose a hundredfold by waiting for it at every layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_draws(seed: int) -> None:
    """Seeds what draws without a generator argument, as `torch.manual_seed` does, on devices in use.

    For every kind of device that is not in use that function notes where it was called from, which takes
    longer than all else between two iterations of a small network.

    >>> seed_draws(3)
    >>> drawn = torch.rand(2)
    >>> _ = torch.manual_seed(3)
    >>> torch.equal(drawn, torch.rand(2))
    True
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def fits(split: Split, device: torch.device | str) -> bool:
    """Whether the images take at most half of the free memory of a GPU; always on the CPU."""
    if not is_gpu(device):
        return True
    free, _ = torch.get_device_module(device).mem_get_info(device)
    return split.images.numel() * 2 <= free


def at_device(split: Split, device: torch.device | str) -> Split:
    """The split with its images on `device`.

    Raises:
        SettingsError: they do not fit.
    """
    if not fits(split, device):
        raise SettingsError(
            f"expected room for {split.images.numel() / 2**30:.1f} GiB of images on {device}, found too "
            "little; use --device cpu"
        )
    return split.to(device)


def at_home(split: Split, device: torch.device | str) -> Split:
    """The split on the device where its images fit there, else as it is."""
    return split.to(device) if fits(split, device) else split
