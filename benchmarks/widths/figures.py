"""What designed widths are worth: paired differences over images and seeds, what was chosen, what was read.

Shapes: A targets (attributes), S seeds, N test images, T glimpses, R resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures import markdown
from benchmarks.intervals import as_json, cells, drawn_seeds, over_seeds
from benchmarks.looking import look_at_test
from benchmarks.widths.plan import ONE, SEVERAL
from data import SettingsError
from data.dataset import DataSet
from data.measures import Measure, mean_measure, resampling
from hardattn.evaluation import RESAMPLES

GOAL, GOAL_AT = 0.02, (1, 2, 3)
MEAN = "mean"


@dataclass(frozen=True)
class Seen:
    """What one network does at N test images.

    Attributes:
        originals: (N,) of which original each image is a version; versions are drawn together.
        right: (N, T) whether the prediction after each glimpse is right.
        read: name -> (T,) mean over images of each of `data.readout.READ`.
    """

    originals: Tensor
    right: Tensor
    read: Mapping[str, Tensor]

    @classmethod
    def of(cls, run_folder: Path, *, dataset: DataSet | None = None, device: str = "auto") -> Seen:
        """Of a run that `hardattn train` made."""
        run, images, looks = look_at_test(run_folder, dataset=dataset, device=device)
        right = looks.predictions.log_probs.argmax(-1).cpu() == images.labels.cpu()[:, None]
        counts = looks.read(run.glimpsing()[1].geometry)
        return cls(
            images.originals.cpu(), right, {name: each.double().mean(0) for name, each in counts.items()}
        )


def accuracies(networks: Mapping[str, Sequence[Seen]], *, seed: int = 0) -> dict[str, Measure]:
    """Target -> accuracy (T,) over seeds, and the mean over targets under "mean" where there are several.

    Images are drawn with replacement, the same for all networks; so are seeds, see
    `benchmarks.intervals.drawn_seeds`. Figures of several sensors with the same `seed` are paired.

    Args:
        networks: target -> a network for each of S seeds.

    Raises:
        SettingsError: the networks were not tested on the same images.
    """
    everyone = [seen for group in networks.values() for seen in group]
    originals = everyone[0].originals
    if any(not torch.equal(seen.originals, originals) for seen in everyone):
        raise SettingsError(
            "expected runs on the same test images, found others; compare those of one data set"
        )
    images = resampling(originals, seed=seed, resamples=RESAMPLES)
    found: dict[str, Measure] = {}
    for target, group in networks.items():
        shares = drawn_seeds(len(group), seed=seed + 1, resamples=RESAMPLES)
        right = torch.stack([seen.right for seen in group])  # (S, N, T)
        found[target] = over_seeds(mean_measure(right, images), shares)
    return {MEAN: Measure.mean(list(found.values())), **found} if len(found) > 1 else found


@dataclass(frozen=True)
class Designed:
    """Which widths a design chose.

    Attributes:
        sides: for each glimpse, side -> share of the images.
        weights: of an image's own map at each glimpse; all 0: the fixed order.
    """

    sides: Sequence[Mapping[int, float]]
    weights: Sequence[float]

    @classmethod
    def of(cls, places: Tensor, weights: Sequence[float]) -> Designed:
        """Of places (N, T, 3).

        >>> Designed.of(torch.tensor([[[0, 0, 8], [1, 1, 4]], [[0, 0, 8], [0, 0, 8]]]), [0, 0.2]).words()
        ['8', '4 50 %, 8 50 %']
        """
        counts = [Counter(column.tolist()) for column in places[..., 2].T]
        shares = [{side: count[side] / len(places) for side in sorted(count)} for count in counts]
        return cls(shares, list(weights))

    def words(self) -> list[str]:
        """For each glimpse the sides, and their shares where there are several."""
        return [
            ", ".join(
                f"{side} {100 * share:.0f} %" if len(step) > 1 else f"{side}" for side, share in step.items()
            )
            for step in self.sides
        ]


@dataclass(frozen=True)
class Comparison:
    """Networks with one width and with several, and a retina where there is one.

    Attributes:
        networks: arm -> target -> a network for each seed.
        designs: arm -> target -> what was designed.
    """

    networks: Mapping[str, Mapping[str, Sequence[Seen]]]
    designs: Mapping[str, Mapping[str, Designed]]

    def measures(self) -> dict[str, dict[str, Measure]]:
        """Arm -> target -> accuracy (T,)."""
        return {arm: accuracies(networks) for arm, networks in self.networks.items()}

    def read(self) -> dict[str, dict[str, list[float]]]:
        """Arm -> count -> (T,) of an image, mean over targets and seeds."""
        found = {}
        for arm, networks in self.networks.items():
            reads = [seen.read for group in networks.values() for seen in group]
            found[arm] = {
                name: torch.stack([each[name] for each in reads]).mean(0).tolist() for name in reads[0]
            }
        return found

    def to_json(self) -> dict[str, Any]:
        measures = self.measures()
        accuracy = {
            arm: {target: as_json(measure) | self._by_seed(arm, target) for target, measure in found.items()}
            for arm, found in measures.items()
        }
        designs = {
            arm: {target: {"sides": list(its.sides), "weights": its.weights} for target, its in found.items()}
            for arm, found in self.designs.items()
        }
        ahead = {
            rival: {target: as_json(by, "ahead") for target, by in found.items()}
            for rival, found in differences(measures).items()
        }
        return {"accuracy": accuracy, "ahead of": ahead, "designs": designs, "read": self.read()}

    def _by_seed(self, arm: str, target: str) -> dict[str, list[list[float]]]:
        """The accuracy of each seed (S, T)."""
        networks = self.networks[arm]
        groups = list(networks.values()) if target not in networks else [networks[target]]
        values = [[seen.right.double().mean(0) for seen in group] for group in groups]
        return {"seeds": torch.stack([torch.stack(group) for group in values]).mean(0).tolist()}


def differences(measures: Mapping[str, Mapping[str, Measure]]) -> dict[str, dict[str, Measure]]:
    """Rival -> target -> by how much several widths are ahead of it, on the same images and seeds."""
    ours = measures[SEVERAL]
    rivals = [arm for arm in measures if arm != SEVERAL]
    return {rival: {name: ours[name].minus(measures[rival][name]) for name in ours} for rival in rivals}


def verdict(ahead: Measure) -> str:
    """Whether the goal is met: ahead of one width by two points after 1, 2 and 3 glimpses, beyond the error.

    >>> import numpy as np
    >>> verdict(Measure(np.array([0.03, 0.01]), np.array([[0.02, -0.01], [0.04, 0.02]])))
    'ahead by at least 2 points after 1 of 1, 2 glimpses; its interval is above 0 after 1'
    """
    low = ahead.interval()[0]
    asked = [t for t in GOAL_AT if t <= len(low)]
    enough = [str(t) for t in asked if ahead.value[t - 1] >= GOAL]
    sure = [str(t + 1) for t in range(len(low)) if low[t] > 0]
    said = f"ahead by at least {100 * GOAL:g} points after {', '.join(enough) or 'none'} of "
    said += f"{', '.join(map(str, asked))} glimpses"
    return f"{said}; its interval is above 0 after {', '.join(sure) or 'none'}"


def report(comparison: Comparison) -> str:
    """Tables in Markdown: accuracy and differences, % with 95 % intervals; widths; what is read."""
    measures = comparison.measures()
    targets = list(measures[SEVERAL])
    parts = [_accuracy(measures, target) for target in targets]
    parts += [f"On the {targets[0]}, {SEVERAL}: {verdict(differences(measures)[ONE][targets[0]])}."]
    return "\n\n".join([*parts, _designs(comparison), _read(comparison)])


def _accuracy(measures: Mapping[str, Mapping[str, Measure]], target: str) -> str:
    """A row for each glimpse: every arm, and how much several widths are ahead of the others."""
    ahead = {f"{SEVERAL} - {rival}": found[target] for rival, found in differences(measures).items()}
    columns = {arm: found[target] for arm, found in measures.items()} | ahead
    values = [cells(measure) for measure in columns.values()]
    rows = [[f"t = {t}", *row] for t, row in enumerate(zip(*values, strict=True), start=1)]
    return markdown([target, *columns], rows)


def _designs(comparison: Comparison) -> str:
    rows = [
        [arm, target, *its.words(), ", ".join(f"{weight:g}" for weight in its.weights)]
        for arm, found in comparison.designs.items()
        for target, its in found.items()
    ]
    steps = range(1, len(rows[0]) - 2)
    return markdown(["designed sides", "", *(f"t = {t}" for t in steps), "weights of own maps"], rows)


def _read(comparison: Comparison) -> str:
    """Values of a sensor that bins, and pixels that software averages, of the networks' own glimpses."""
    rows = []
    names = {"values_read": "values, binning sensor", "pixels_read": "pixels, software"}
    for arm, counts in comparison.read().items():
        rows += [[arm, said, *(f"{count:.0f}" for count in counts[name])] for name, said in names.items()]
    return markdown(["read of an image", "", *(f"t = {t}" for t in range(1, len(rows[0]) - 1))], rows)
