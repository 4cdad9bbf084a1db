"""Kinds of sequences that tables and frontiers imitate, by name; nothing slow is imported for a name."""

from __future__ import annotations

PARTS = "parts-"
RECORDED = "recorded"
OF_TRAINING = "-train"


def is_designed(kind: str) -> bool:
    """Whether sequences of this kind are made by `hardattn.experiments.row_sequences.designed`.

    >>> is_designed("fixed-order"), is_designed("design-train"), is_designed("parts-train"), is_designed("")
    (True, True, False, False)
    """
    return kind not in ("", RECORDED) and not kind.startswith(PARTS)


def source_and_split(kind: str) -> tuple[str, str]:
    """Of what is designed: a name of `boed.search.registry.SOURCES`, and whose images it is for.

    >>> source_and_split("design-train"), source_and_split("fixed-order")
    (('design', 'train'), ('fixed-order', 'design'))
    """
    if kind.endswith(OF_TRAINING):
        return kind.removesuffix(OF_TRAINING), "train"
    return kind, "design"
