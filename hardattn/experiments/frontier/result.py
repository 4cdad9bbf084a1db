"""What a frontier found, as its file has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from data.errors import CheckpointError
from hardattn.experiments.frontier.pareto import FrontierPoint, frontiers
from hardattn.experiments.frontier.terms import Terms
from hardattn.training import checkpoint

FRONTIER, TABLE, PICTURE = "frontier.json", "frontier.csv", "frontier.png"
LATER = {"command": None, "terms": None}  # what files of older versions do not have


@dataclass(frozen=True)
class Frontier:
    """All points of all families.

    Attributes:
        image_pixels: of a whole image.
        seeds: of the trainings.
        terms: how long each lasted; None: an older version's.
        command: words of the command line that asked for it; None: a call in Python, or an older version.
    """

    dataset: str
    target: str
    image_pixels: int
    seeds: Sequence[int]
    points: list[FrontierPoint]
    terms: Terms | None = None
    command: list[str] | None = None

    def of_seed(self, seed: int) -> list[FrontierPoint]:
        """The points of the trainings with a seed."""
        return [point for point in self.points if point.seed == seed]

    def to_json(self) -> dict[str, Any]:
        """Plain values; the frontier of a family, of the first seed, as numbers of points."""
        number = {point: at for at, point in enumerate(self.points)}
        first = frontiers(self.of_seed(self.seeds[0]))
        chosen = {family: [number[point] for point in points] for family, points in first.items()}
        return asdict(self) | {"frontiers": chosen}

    @classmethod
    def read(cls, path: Path) -> Frontier:
        """What `frontier` wrote; raises CheckpointError where it is missing or damaged."""
        written = checkpoint.read_json(path, "a frontier", "hardattn frontier")
        try:
            own = {"seed": written["seed"]} if "seed" in written else {}  # of all points of an older version
            facts = LATER | {"seeds": list(own.values())} | written
            known = {part.name: facts[part.name] for part in fields(cls)}
            terms = None if facts["terms"] is None else Terms(**facts["terms"])
            points = [FrontierPoint(**own | point) for point in written["points"]]
            return cls(**known | {"points": points, "terms": terms})
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"expected a frontier in {path}, found otherwise ({error}); make it with `hardattn frontier`"
            ) from None
