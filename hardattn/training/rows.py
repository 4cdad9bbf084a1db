"""Some rows of a batch, and draws for them that are those of the whole.

Shapes: N rows of the whole, n of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from data.errors import SettingsError

P = ParamSpec("P")
R = TypeVar("R")
DRAWS = (torch.rand, torch.randn, torch.randint)
UNDIVIDED = (
    *(torch.bernoulli, torch.multinomial, torch.normal, torch.poisson),
    *(torch.rand_like, torch.randn_like, torch.randint_like),
    *(Tensor.bernoulli_, Tensor.uniform_, Tensor.normal_, Tensor.random_, Tensor.exponential_),
)
"""Draws that know no rows."""


@dataclass(frozen=True)
class Rows:
    """Some of the rows of a whole.

    Attributes:
        whole: how many it has.
        runs: of consecutive ones.

    >>> rows = Rows(6, (range(0, 1), range(3, 5)))
    >>> len(rows), rows.share, rows.of(torch.arange(6)).tolist()
    (3, 0.5, [0, 3, 4])
    """

    whole: int
    runs: tuple[range, ...]

    @classmethod
    def part(cls, whole: int, number: int, count: int) -> Rows:
        """The rows of one of `count` parts, which are as alike in size as can be.

        >>> [len(Rows.part(7, number, 3)) for number in range(3)]
        [2, 2, 3]
        """
        return cls(whole, (range(whole * number // count, whole * (number + 1) // count),))

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    @property
    def share(self) -> float:
        """Of the whole; 1 of one that has no rows."""
        return len(self) / self.whole if self.whole else 1.0

    def of(self, values: Tensor, each: int = 1) -> Tensor:
        """(n * each, ...) of values (N * each, ...) for all rows."""
        return torch.cat([values[run.start * each : run.stop * each] for run in self.runs])

    def before(self, others: Rows) -> Rows:
        """These rows of a whole, and those of another one that comes behind it."""
        behind = tuple(range(run.start + self.whole, run.stop + self.whole) for run in others.runs)
        return Rows(self.whole + others.whole, self.runs + behind)

    def drawn(self, function: Callable[P, R]) -> Callable[P, R]:
        """The same function of these rows, whose draws are those that it makes of the whole.

        >>> generator = torch.Generator()
        >>> def draw(count):
        ...     return torch.rand(count, 2, generator=generator.manual_seed(0))
        >>> torch.equal(Rows(4, (range(2, 4),)).drawn(draw)(2), draw(4)[2:])
        True
        """
        if len(self) == self.whole:
            return function

        def with_draws_of_all(*arguments: P.args, **named: P.kwargs) -> R:
            with _DrawsOfAll(self):
                return function(*arguments, **named)

        return with_draws_of_all


class _DrawsOfAll(TorchFunctionMode):
    """While it lasts, whatever is drawn for the rows is drawn for the whole, of which they are taken.

    Draws that are for no rows stay as they are, and so are the same in every part.
    """

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in DRAWS:
            return self._drawn(function, arguments, named)
        if function in UNDIVIDED or (function is nn.functional.dropout and _drops(*arguments, **named)):
            raise SettingsError(
                "expected draws for each image by torch.rand, randn or randint in a batch that is divided, "
                f"found {function.__name__}; train in one process, without --accumulate"
            )
        return function(*arguments, **named)

    def _drawn(self, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
        first, size, named = _sized(arguments, named)
        each, rest = divmod(size[0], len(self.rows)) if size and len(self.rows) else (0, 0)
        if rest or not each:
            return function(*first, size, **named)
        return self.rows.of(function(*first, (self.rows.whole * each, *size[1:]), **named), each)


def _sized(
    arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], tuple[int, ...], dict[str, Any]]:
    """The arguments before the size of a draw, the size, and the others."""
    if "size" in named:
        return arguments, tuple(named["size"]), {n: v for n, v in named.items() if n != "size"}
    if isinstance(arguments[-1], int):
        return (), arguments, named
    return arguments[:-1], tuple(arguments[-1]), named


def _drops(_values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> bool:
    """Whether `nn.functional.dropout` with these arguments draws anything."""
    return training and p > 0
