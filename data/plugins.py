"""Registries: implementations of a contract by name, also those that other packages bring along.

A name is known before the module behind it is imported, so that a command line can list names in no time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, signature
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, Generic, TypeVar

from data.errors import SettingsError

T = TypeVar("T")
Registered = TypeVar("Registered")


class Registry(Mapping[str, T], Generic[T]):
    """Implementations of one contract by name.

    There are three ways in: a module of this project that is named here and registers its implementations
    when it is imported; the decorator `register`, anywhere; and an entry point of an installed package, in
    the group `boed_hardattn.PLURAL` with the name of the implementation. It points to the implementation, or
    to a module that registers it.

    Args:
        kind: what they are, in the singular, for messages and for the group of entry points.
        modules: name -> module that registers it; imported when the name is first looked up.

    >>> greetings: Registry[Callable[[], str]] = Registry("greeting", {})
    >>> @greetings.register("short")
    ... def short() -> str:
    ...     return "hi"
    >>> greetings["short"](), list(greetings)
    ('hi', ['short'])
    """

    def __init__(self, kind: str, modules: Mapping[str, str] | None = None) -> None:
        self.kind, self._modules = kind, dict(modules or {})
        self._known: dict[str, T] = {}

    @property
    def group(self) -> str:
        """Of the entry points by which other packages add to this registry.

        >>> Registry("data set").group
        'boed_hardattn.data_sets'
        """
        plural = f"{self.kind.removesuffix('y')}ies" if self.kind.endswith("cy") else f"{self.kind}s"
        return f"boed_hardattn.{plural.replace(' ', '_')}"

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Decorator that gives an implementation its name; the last one of a name counts."""

        def add(implementation: Registered) -> Registered:
            self._known[name] = implementation  # type: ignore[assignment]
            return implementation

        return add

    def require(self, name: str) -> T:
        """The implementation of this name.

        Raises:
            SettingsError: there is none; the message has the names that there are.
        """
        self.require_name(name)
        return self[name]

    def require_name(self, name: str) -> None:
        """Raises SettingsError for a name that there is not; imports nothing."""
        if name not in self:
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise SettingsError(
                f"expected {article} {self.kind} of {', '.join(self)}; found {name!r}, take one of them"
            )

    def __getitem__(self, name: str) -> T:
        if name not in self._known and name in self._modules:
            import_module(self._modules[name])
        if name not in self._known and name in self._installed:
            self._load_installed(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        known = (self._modules, self._known, self._installed)
        return isinstance(name, str) and any(name in names for names in known)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._modules, *self._known, *self._installed]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _load_installed(self, name: str) -> None:
        """Takes what an entry point points to, unless it is a module, which has registered the name then.

        Raises:
            SettingsError: it cannot be imported, or is a module that does not register the name.
        """
        point = self._installed[name]
        package = f"the package {point.dist.name if point.dist else '(unknown)'}"
        remedy = f"mend or remove {package}, whose entry point it is in {self.group}"
        try:
            loaded = point.load()
        except Exception as error:  # whatever somebody else's module raises
            raise SettingsError(
                f"expected {point.value} to bring the {self.kind} {name!r}, found {type(error).__name__}: "
                f"{error}; {remedy}"
            ) from error
        if name not in self._known and isinstance(loaded, ModuleType):
            raise SettingsError(
                f"expected the module {loaded.__name__} to register the {self.kind} {name!r}, found that it "
                f"does not; {remedy}"
            )
        self._known.setdefault(name, loaded)

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}


def options_of(implementation: Callable[..., object]) -> tuple[str, ...]:
    """What can be chosen about an implementation: the names of its keyword-only arguments.

    >>> def network(classes: int, *, width: float = 1.0) -> None: ...
    >>> options_of(network)
    ('width',)
    """
    parameters = signature(implementation).parameters.values()
    return tuple(each.name for each in parameters if each.kind is Parameter.KEYWORD_ONLY)


def deferred(name: str) -> Callable[..., Any]:
    """The function "module:function", whose module is imported when it is first called.

    So that what is known of an implementation does not wait for what it is implemented with.

    >>> deferred("math:hypot")(3, 4)
    5.0
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return resolve_name(name)(*args, **kwargs)

    return call
