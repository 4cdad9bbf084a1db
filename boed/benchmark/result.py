"""What a benchmark found: rows of figures between random and exact greedy design, by group of images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from boed.benchmark.figures import Figures, by_step, mean_figures, share_closed
from boed.benchmark.measure import Measured
from boed.combination import Combination

GROUPS = ("unseen", "seen")
"""Images of templates that no training image shows, and training images that come again."""


@dataclass(frozen=True)
class Row:
    """One combination on the images of every group.

    Attributes:
        combination: its parts.
        measured: by group, each image for t = 1..T along its own history.
        settings: of its fit, those that cost time, and its seed.
        seconds: that the row took, without what it shares with rows before it.
        fixed: the same with the fixed order, of the first row of a process.
    """

    combination: Combination
    measured: dict[str, Measured]
    settings: dict[str, Any]
    seconds: float
    fixed: dict[str, Measured] | None = None


@dataclass(frozen=True)
class Reference:
    """What is known of a group of images, each (n, T): exact EPE in nats of what was looked at.

    Attributes:
        random: mean over several orders of distinct random places.
        exact: exact greedy design.
    """

    random: Tensor
    exact: Tensor

    def closed(self, measured: Measured) -> Figures:
        """Share of the gap between the two that a combination closes at each t, on its own images."""
        count = len(measured)
        return share_closed(self.random[:count], self.exact[:count], measured.epe)


@dataclass(frozen=True)
class Benchmark:
    """All rows, between random and exact greedy design, by group of images.

    Attributes:
        references: by group.
        optimal: the smallest EPE that any policy reaches after exactly t glimpses, for the first few t.
        rows: one per combination.
    """

    references: dict[str, Reference]
    optimal: list[float]
    rows: list[Row]

    def levels(self, group: str) -> dict[str, Figures]:
        """Mean exact EPE of random, fixed and exact designs."""
        reference = self.references[group]
        levels = {"random": mean_figures(reference.random), "exact": mean_figures(reference.exact)}
        for fixed in [row.fixed for row in self.rows if row.fixed is not None][:1]:
            levels["fixed"] = mean_figures(fixed[group].epe)
        return levels

    def to_json(self) -> dict[str, Any]:
        """Nested dictionaries; what is measured has t, as a string, for key."""
        groups = {
            group: {"images": len(self.references[group].exact)}
            | {name: figures.to_json("epe") for name, figures in self.levels(group).items()}
            for group in GROUPS
        }
        return {
            **groups,
            "optimal": by_step(self.optimal),
            "rows": [self._row_json(row) for row in self.rows],
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        return {
            **asdict(row.combination),
            "method": row.combination.words,
            "seed": row.settings.get("seed"),
            "default": row.combination == Combination(),
            "settings": row.settings,
            "seconds": round(row.seconds, 1),
            **{group: self._group_json(group, row.measured[group]) for group in GROUPS},
        }

    def _group_json(self, group: str, measured: Measured) -> dict[str, Any]:
        return {
            "images": len(measured),
            **mean_figures(measured.epe).to_json("epe"),
            **self.references[group].closed(measured).to_json("closed"),
            **mean_figures(measured.regret).to_json("regret_nats"),
            **mean_figures(measured.correlation).to_json("map_rank_correlation"),
            "calibration_error": by_step(measured.calibration_error()),
        }
