"""The networks that `hardattn frontier` compares: families, each of several sizes, from a readable file.

A file has one table for each family. It names a baseline, or a method with the source of the sequences that
it imitates; what all sizes share is its `recipe`, what all families share that of the file, and every entry
of `sizes` is one network:

    [[families]]
    name = "separable"
    baseline = "separable"
    sizes = [{ resolution = 32, width = 0.5 }, { resolution = 32, width = 1.0 }]

Sizes are fields of the recipe, of a method also `glimpses`, `glimpse_size`, `first_glance` and `sides`. With
`images` a family imitates sequences of so many training images, else those of the design split. `sensor` is
what all sizes of a family have of these.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.errors import SettingsError
from data.files import read_toml
from data.settings import mistyped
from hardattn.baselines.registry import BASELINES
from hardattn.baselines.training import BaselineRecipe
from hardattn.experiments.reproduce.settings import in_words
from hardattn.objectives.registry import METHODS
from hardattn.training.recipe import Recipe

SENSOR = ("glimpses", "glimpse_size", "first_glance", "sides")


@dataclass(frozen=True)
class Member:
    """One network of a family.

    Attributes:
        family: its name; the hard-attention networks are "attention".
        baseline: a key of `hardattn.baselines.registry.BASELINES`, or "" for a method.
        method: a key of `hardattn.objectives.registry.METHODS`, or "" for a baseline.
        sequences: the source of `boed generate` that it imitates, or "".
        images: how many training images it imitates them on; 0: those of the design split.
        sensor: its `glimpses`, `glimpse_size`, `first_glance` and `sides`, where they are not the data set's.
        recipe: fields of its recipe.
        sizes: what it has of its own, for people.
    """

    family: str
    baseline: str
    method: str
    sequences: str
    images: int
    sensor: Mapping[str, Any]
    recipe: Mapping[str, Any]
    sizes: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The family and the sizes.

        >>> Member("cnn", "cnn", "", "", 0, {}, {}, {"resolution": 16, "width": 0.5}).name
        'cnn resolution 16 width 0.5'
        >>> Member("attention", "", "ram", "", 0, {}, {}, {"sides": [8, 16]}).name
        'attention sides 8,16'
        """
        return " ".join([self.family, *(f"{key} {in_words(value)}" for key, value in self.sizes.items())])

    @property
    def folder(self) -> str:
        """The name as that of a folder.

        >>> Member("early exit", "early-exit", "", "", 0, {}, {}, {"width": 0.5}).folder
        'early-exit-width-0.5'
        """
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")


def read_grid(dataset: str, path: Path | None = None) -> list[Member]:
    """The networks of a file, or of the one that comes with a data set.

    Raises:
        SettingsError: there is no such file, or it does not say what to train.
    """
    written = tomllib.loads(_own(dataset)) if path is None else read_toml(path)
    try:
        families = written["families"]
        common = written.get("recipe", {})
        members = [_member(common, family, sizes) for family in families for sizes in family["sizes"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"expected families with a name and sizes in {path or dataset}, found otherwise ({error}); "
            "see hardattn/experiments/frontier/grids"
        ) from None
    twice = [name for name, count in Counter(member.folder for member in members).items() if count > 1]
    if twice or not members:
        raise SettingsError(
            f"expected networks with different sizes in {path or dataset}, found {twice or 'none'}; change it"
        )
    return members


def of_families(members: Sequence[Member], families: Sequence[str]) -> list[Member]:
    """The networks of some families; of all, where none is named.

    Raises:
        SettingsError: a family that there is not.
    """
    known = list(dict.fromkeys(member.family for member in members))
    for family in families:
        if family not in known:
            raise SettingsError(f"expected a --family of {'; '.join(known)}; found {family!r}")
    return [member for member in members if not families or member.family in families]


def grids() -> list[str]:
    """Data sets that have a file of their own.

    >>> grids()
    ['celebahq', 'cluttered-mnist', 'digits', 'folder']
    """
    names = (path.name for path in _grids().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _member(common: Mapping[str, Any], family: Mapping[str, Any], sizes: Mapping[str, Any]) -> Member:
    baseline, method = family.get("baseline", ""), family.get("method", "")
    if (baseline not in BASELINES and method not in METHODS) or (baseline and method):
        raise SettingsError(
            f"expected a baseline or a method for the family {family['name']}, found "
            f"{baseline or method or 'none'}; take one of {', '.join(BASELINES)} or {', '.join(METHODS)}"
        )
    sequences = family.get("sequences", "")
    if method and METHODS[method].supervised != bool(sequences):
        raise SettingsError(
            f"expected sequences just where a method imitates them, found {sequences!r} for {method}"
        )
    sensor = {key: value for key, value in sizes.items() if method and key in SENSOR}
    own = {key: value for key, value in sizes.items() if key not in sensor}
    recipe = {**common, **family.get("recipe", {}), **own}
    kind = Recipe if method else BaselineRecipe
    kind(**recipe)  # an unknown field is a TypeError
    sensor = {**family.get("sensor", {}), **sensor}
    member = Member(
        family["name"], baseline, method, sequences, family.get("images", 0), sensor, recipe, sizes
    )
    for name, wanted in {**mistyped(kind, recipe), **mistyped(Member, vars(member))}.items():
        raise TypeError(f"{name} that is not {wanted}")
    return member


def _own(dataset: str) -> str:
    if dataset not in grids():
        raise SettingsError(
            f"expected --grid FILE for {dataset}, found none; only {' and '.join(grids())} have their own"
        )
    text: str = (_grids() / f"{dataset}.toml").read_text()
    return text


def _grids() -> Any:
    return files("hardattn.experiments.frontier.grids")
