"""Which networks there is time for, and how long they were trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.logs import read_log
from hardattn.experiments.frontier.grid import Member
from hardattn.loading import settings_of
from hardattn.training import checkpoint
from hardattn.training.settings import read_run

RESOLUTION = "resolution"
LEAST = 20.0  # seconds of training in which a network shows what it is worth


def affordable(members: Sequence[Member], seconds: float) -> list[Member]:
    """As many networks as have `LEAST` seconds each, in their order: the first of each family, then others.

    The first of each family is always among them.

    >>> one, two = (Member("cnn", "cnn", "", "", 0, {}, {}, {"width": width}) for width in (0.5, 1.0))
    >>> other = Member("fc", "fc", "", "", 0, {}, {}, {})
    >>> [member.name for member in affordable([one, two, other], 50.0)]
    ['cnn width 0.5', 'fc']
    >>> len(affordable([one, two, other], 60.0)), len(affordable([one, two, other], 1.0))
    (3, 2)
    """
    families, rank = dict[str, int](), dict[int, int]()
    for number, member in enumerate(members):
        rank[number] = families[member.family] = families.get(member.family, -1) + 1
    wanted = max(len(families), int(seconds / LEAST))
    taken = sorted(sorted(rank, key=lambda number: (rank[number], number))[:wanted])
    return [members[number] for number in taken]


def within(members: Sequence[Member], side: int) -> list[Member]:
    """Networks that see images of this side: one that sees a larger image than there is sees all of this.

    >>> sizes = [{"resolution": 32}, {"resolution": 48}, {"resolution": 64}]
    >>> members = [Member("cnn", "cnn", "", "", 0, {}, each, each) for each in sizes]
    >>> [member.name for member in within(members, 48)]
    ['cnn resolution 32', 'cnn resolution 48']
    """
    smaller = [_at_most(member, side) for member in members]
    return list({member.name: member for member in smaller}.values())


def _at_most(member: Member, side: int) -> Member:
    if member.sizes.get(RESOLUTION, 0) <= side:
        return member
    own = {RESOLUTION: side}
    return replace(member, recipe={**member.recipe, **own}, sizes={**member.sizes, **own})


def epochs_of(folder: Path, images: int) -> float:
    """How often a training has seen each of so many training images; raises as `read_run`."""
    iterations: int = list(read_log(folder / checkpoint.LOG))[-1]["iteration"]
    return iterations * settings_of(read_run(folder), folder).recipe.batch_size / images
