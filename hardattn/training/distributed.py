"""A batch in parts: among the processes of a group, and in each of them one after the other.

Every process draws the batch of all B images from (seed, iteration), and for all of them whatever is drawn of
an image: how it is varied, where the network looks, what is dropped out. Of both it takes its own rows. A
term of the loss that is a mean over N images counts n / N where it is of n of them,

    $L = \\sum_p \\frac{n_p}{N} L_p, \\qquad \\nabla L = \\sum_p \\frac{n_p}{N} \\nabla L_p,$

p being the parts. So a training learns what it would in one process, up to rounding, however many there are,
and each step is one sum of one vector over the processes. That is what `DistributedDataParallel` does of a
module's `forward`; a step here is none (it looks, acts and reads), and its terms are means of different sets
of images, where that takes one mean for all.

Shapes: B images, n of them in a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from data.errors import SettingsError, TrainingError
from hardattn.training.rows import Rows
from supervision.batches import Batch

R = TypeVar("R")


@dataclass(frozen=True)
class Part:
    """A part of a batch.

    Attributes:
        batch: its images.
        plain: which they are of the batch's images without sequences.
        guided: which they are of those with one, which come behind.
    """

    batch: Batch
    plain: Rows
    guided: Rows

    @property
    def rows(self) -> Rows:
        """Which they are of all."""
        return self.plain.before(self.guided)

    def cut(self, supervised: bool) -> tuple[Rows, Rows]:
        """Those that look where they like, all of them without supervision, and those that are told."""
        return (self.plain, self.guided) if supervised else (self.rows, Rows(0, ()))


@dataclass(frozen=True)
class Division:
    """How every batch of a training is divided.

    Attributes:
        accumulate: parts of a process, of which one after the other is in memory.
        rank: which process this is; the first one, 0, writes and validates for all.
        processes: how many there are.
        device: what they tell each other is on.

    >>> batch = Batch(torch.arange(4), torch.zeros(4), torch.zeros(4, 1, 3), torch.arange(4) >= 2)
    >>> [part.batch.index.tolist() for part in Division(accumulate=2).parts(batch)]
    [[0, 2], [1, 3]]
    """

    accumulate: int = 1
    rank: int = 0
    processes: int = 1
    device: str | torch.device = "cpu"

    @classmethod
    def here(cls, accumulate: int = 1, device: str | torch.device = "cpu") -> Division:
        """Among the processes of the group of `torch.distributed` that this one is in, if it is in one.

        Raises:
            SettingsError: fewer than one part.
        """
        if accumulate < 1:
            raise SettingsError(f"expected --accumulate of at least 1, found {accumulate}")
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls(accumulate)
        return cls(accumulate, distributed.get_rank(), distributed.get_world_size(), device)

    @property
    def count(self) -> int:
        """Of parts, all processes together."""
        return self.accumulate * self.processes

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def require(self, network: nn.Module, sizes: tuple[int, int]) -> None:
        """Raises SettingsError where parts would not learn what the whole does.

        Args:
            network: that is trained.
            sizes: how many images of a batch have no sequences, and how many have.
        """
        if self.count == 1:
            return
        fewest = min(size for size in sizes if size)
        if fewest < self.count:
            raise SettingsError(
                f"expected at least one image with a sequence and one without in each of the {self.count} "
                f"parts of a batch, found {fewest} for all; take a larger --batch-size, or fewer parts"
            )
        modes = {module: module.training for module in network.modules()}
        norms = [module for module in network.train().modules() if isinstance(module, _BatchNorm)]
        normed = any(norm.training for norm in norms)  # one that is frozen stays in evaluation mode
        for module, mode in modes.items():
            module.training = mode
        if normed:
            raise SettingsError(
                "expected a network without batch norm in a batch that is divided, found one; its "
                "statistics are of the whole batch: train in one process, without --accumulate"
            )

    def parts(self, batch: Batch) -> Iterator[Part]:
        """Those of this process."""
        plain, guided = len(batch.index) - batch.count, batch.count
        for number in range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate):
            sizes = (Rows.part(size, number, self.count) for size in (plain, guided))
            yield _part(batch, *sizes)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Adds up what the processes have, in place: as one vector; raises TrainingError if one is gone."""
        if self.processes == 1 or not tensors:
            return
        whole = torch.cat([tensor.flatten() for tensor in tensors])
        with _others():
            distributed.all_reduce(whole)
        for tensor, values in zip(tensors, whole.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(values.view_as(tensor))

    def agreed(self, value: float) -> float:
        """What the first process has: so that clocks and files decide the same everywhere."""
        if self.processes == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        with _others():
            distributed.broadcast(told, 0)
        return told.item()

    def by_first(self, work: Callable[[], R]) -> R | None:
        """What the first process does for all, who wait for it; None to the others.

        Raises:
            TrainingError: in the others, where it failed.
        """
        if not self.first:
            if not self.agreed(0):
                raise TrainingError("expected process 0 to go on, found that it has failed; see its message")
            return None
        try:
            done = work()
        except Exception:
            self.agreed(0)
            raise
        self.agreed(1)
        return done


@contextmanager
def _others() -> Iterator[None]:
    """Raises TrainingError where another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise TrainingError(
            f"expected all processes to go on, found one gone ({error}); the same command "
            "takes the training up"
        ) from None


def _part(batch: Batch, plain: Rows, guided: Rows) -> Part:
    """The part of these images; the batch itself, if it is all of them."""
    rows = plain.before(guided)
    if len(rows) == rows.whole:
        return Part(batch, plain, guided)
    each: dict[str, Any] = {
        name: rows.of(getattr(batch, name)) for name in ("index", "labels", "locations", "supervised")
    }
    for name in ("maps", "gains"):
        values = getattr(batch, name)
        each[name] = None if values is None else guided.of(values)
    return Part(replace(batch, **each, guided=len(guided)), plain, guided)
