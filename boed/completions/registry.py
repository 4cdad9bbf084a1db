"""Completions r by name, and what is to be known of them before one is learned.

There are two sorts. One draws images of a labelled bank, and the estimators use the labels; the other makes
images, without labels, and is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.plugins import Registry, deferred

if TYPE_CHECKING:
    from boed.completions.completion import Completion  # torch, for which names do not wait
    from boed.completions.retrieval import RetrievalCompletion


@dataclass(frozen=True)
class CompletionKind:
    """One completion of the registry: either `retrieve`, or `fit` and `new`.

    Args:
        retrieve: (task) -> what draws labelled images of a bank, the task's or another of its own.
        fit: (task, train, rows) -> what makes images, learned from the images `rows` (M,) of the split
            `train`; its `network` is saved. The file `task.state` may keep an interrupted training.
        new: (task, tensors) -> the same untrained, of the size that the saved tensors have.
        exact: whether it knows the images of the task: then only images that can be enumerated will do.
        takes_bank: whether it retrieves from a folder of images where one is named.
        first_glance: whether the first glimpse may be the whole image at a glance.
        sides: whether squares of several sides may be looked at.

    The task is a `boed.completions.completion.CompletionTask`.
    """

    retrieve: Callable[..., RetrievalCompletion] | None = None
    fit: Callable[..., Completion] | None = None
    new: Callable[..., Completion] | None = None
    exact: bool = False
    takes_bank: bool = False
    first_glance: bool = False
    sides: bool = False

    @property
    def labelled(self) -> bool:
        """Whether completions carry labels."""
        return self.retrieve is not None


COMPLETIONS: Registry[CompletionKind] = Registry("completion")
COMPLETIONS.register("retrieval")(
    CompletionKind(retrieve=deferred("boed.completions.retrieval:from_bank"), first_glance=True, sides=True)
)
COMPLETIONS.register("cvae")(
    CompletionKind(
        fit=deferred("boed.fitting.cvae_training:fit_completion"),
        new=deferred("boed.completions.cvae:new_completion"),
    )
)
COMPLETIONS.register("gaussian")(
    CompletionKind(
        fit=deferred("boed.completions.factor_analysis:fit_completion"),
        new=deferred("boed.completions.factor_analysis:new_completion"),
    )
)
COMPLETIONS.register("proposals")(
    CompletionKind(
        fit=deferred("boed.completions.proposed_retrieval:fit_completion"),
        new=deferred("boed.completions.proposed_retrieval:new_completion"),
        takes_bank=True,
    )
)
COMPLETIONS.register("exact")(
    CompletionKind(retrieve=deferred("boed.completions.exact:of_templates"), exact=True)
)
