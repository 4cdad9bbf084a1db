"""What families of a frontier are called, which of them look, and which are compared with the rivals."""

from __future__ import annotations

from collections.abc import Collection, Iterable

ATTENTION = "attention"
WIDTHS = f"{ATTENTION}, designed widths"
ANY = "any "
POOLS = (ATTENTION, WIDTHS)  # beginnings of names of families that are also measured together


def looks(family: str) -> bool:
    """Whether a family, or several together, is hard attention.

    >>> looks("attention, fixed places"), looks("any attention"), looks("glance alone")
    (True, True, False)
    """
    return family.removeprefix(ANY).startswith(ATTENTION)


def pooled(families: Iterable[str]) -> dict[str, list[str]]:
    """Every family, and those together that begin alike, where there are several: name -> families.

    >>> pooled(["attention, fixed places", "attention, designed widths", "cnn"])["any attention"]
    ['attention, fixed places', 'attention, designed widths']
    """
    known = list(families)
    found = {family: [family] for family in known}
    for beginning in POOLS:
        together = [family for family in known if family.startswith(beginning)]
        if len(together) > 1:
            found[ANY + beginning] = together
    return found


def own_of(names: Collection[str]) -> str:
    """Which of the names is compared with the rivals: designed widths, else all that looks.

    >>> own_of(["attention", "cnn"]), own_of(pooled(["attention", "attention in one order", "cnn"]))
    ('attention', 'any attention')
    """
    wanted = (ANY + WIDTHS, WIDTHS, ANY + ATTENTION)
    return next((name for name in wanted if name in names), next(filter(looks, names), ATTENTION))
