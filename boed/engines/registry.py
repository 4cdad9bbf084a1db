"""Engines by name: a new one is a module and a line here, or an entry point of another package."""

from __future__ import annotations

from collections.abc import Callable

from boed.engines.engine import Engine
from data.plugins import Registry

ENGINES: Registry[Callable[..., Engine]] = Registry(
    "engine", {"local": "boed.engines.local", "ray": "boed.engines.ray_"}
)
"""Name -> (workers=, address=) -> engine; both may be None."""


def engine(name: str = "local", *, workers: int | None = None, address: str | None = None) -> Engine:
    """What spreads work over processes or machines, for `boed.design` and `boed.store_designs`.

    Args:
        name: "local", for processes of this machine, or "ray".
        workers: how many at a time; default 1 of local, and as many as Ray has cores.
        address: of a running Ray cluster, as "auto" or "ray://head:10001"; default one of this machine, for
            as long as it is needed.

    Raises:
        SettingsError: there is no such engine, it is not installed, or it has no such option.

    >>> spread = engine("local")
    >>> dict(spread(abs, [-3, 4]))
    {0: 3, 1: 4}
    """
    return ENGINES.require(name)(workers=workers, address=address)


def resolved(one: Engine | str) -> Engine:
    """An engine, or that of a name with its defaults."""
    return engine(one) if isinstance(one, str) else one
