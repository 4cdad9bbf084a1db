"""Robustness of trained networks: one call measures accuracy on corrupted and on attacked images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from data.corruption_names import CORRUPTIONS, SEVERITIES
from data.corruptions import corrupted
from data.dataset import DataSet, Split
from data.device import at_home, one_thread
from data.errors import SettingsError
from data.progress import progress_bar
from hardattn.baselines.layers import Baseline
from hardattn.baselines.resolution import averaged_split
from hardattn.baselines.training import logits_of, seen_geometry
from hardattn.evaluation import looks_at, require_images
from hardattn.loading import TrainedNetwork, open_trained
from hardattn.report.contents import rows_of
from hardattn.robustness.attack import attacked, require_attack
from hardattn.robustness.choices import ATTACK, EPSILON, STEPS
from hardattn.training.learner import accuracy_and_nll
from hardattn.training.run_folder import require_seed

LEVEL = 0.95  # of intervals
Corrupt = Callable[[Split, int, int], Split]
"""Images, severity, seed -> corrupted images."""


@dataclass(frozen=True)
class Point:
    """Accuracy at one severity, with its binomial interval.

    Attributes:
        severity: 0, the images themselves, to 5.
        accuracy: share of images whose last prediction is right.
        low, high: of the 95 % interval of Wilson, every image counting for itself.
    """

    severity: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Robustness:
    """What a network does on corrupted images.

    Attributes:
        run: its folder.
        method: how it was trained; the name of a baseline.
        split: of the data set.
        images: how many.
        seed: of the corruptions.
        epsilon, steps: of the attack.
        corruptions: name -> accuracy at each severity.
    """

    run: str
    method: str
    split: str
    images: int
    seed: int
    epsilon: int
    steps: int
    corruptions: Mapping[str, Sequence[Point]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def robustness(
    run_folder: Path,
    *,
    corruptions: Sequence[str] = (),
    split: str = "test",
    images: int | None = None,
    epsilon: int = EPSILON,
    steps: int = STEPS,
    seed: int = 0,
    dataset: DataSet | None = None,
    device: str = "auto",
) -> Robustness:
    """Accuracy of the best weights of a run on images that are corrupted more and more; nothing is written.

    The network looks as in its evaluation, and its last prediction counts.

    Args:
        run_folder: what `train` wrote, of any method or baseline.
        corruptions: names; all of them without, see `names_of`.
        split: of the data set of the run.
        images: a fixed sample of so many; None: all.
        epsilon, steps: of the attack, see `hardattn.robustness.attack.attacked`.
        seed: of what is drawn for each image.
        dataset: the data set itself, where it is not one of the registry.

    Raises:
        SettingsError: no such corruption or seed, not so many images, no torchvision, or an impossible
            attack.
        CheckpointError: weights are missing, damaged or of another task.
    """
    names = names_of(corruptions)
    require_attack(epsilon, steps)
    require_seed(seed)
    run = open_trained(run_folder, dataset=dataset, device=device)
    chosen = run.dataset[split] if images is None else some(run.dataset[split], images)
    require_images(run, chosen)
    _require_tools(chosen, names)
    home = at_home(chosen, run.network.device)
    attack: Corrupt = partial(attacked, run, epsilon=epsilon, steps=steps)
    ways = {name: attack if name == ATTACK else _by_name(name) for name in names}
    return Robustness(
        str(run_folder), run.method, split, len(home), seed, epsilon, steps, measured(run, home, ways, seed)
    )


def names_of(corruptions: Sequence[str] = ()) -> list[str]:
    """The names, each once, all of them without any.

    Raises:
        SettingsError: no such corruption.

    >>> names_of()
    ['translation', 'rotation', 'scale', 'noise', 'blur', 'contrast', 'pgd']
    """
    known = [*CORRUPTIONS, ATTACK]
    unknown = [name for name in corruptions if name not in known]
    if unknown:
        raise SettingsError(
            f"expected a corruption of {', '.join(known)}; found {unknown[0]!r}, change --corruption"
        )
    return list(dict.fromkeys(corruptions)) or known


def some(split: Split, images: int) -> Split:
    """A fixed sample of a split; raises SettingsError where there are not so many."""
    return split.take(rows_of(split, images, ()))


def measured(
    run: TrainedNetwork, split: Split, ways: Mapping[str, Corrupt], seed: int = 0
) -> dict[str, list[Point]]:
    """Name -> accuracy at every severity, of images that are changed in several ways."""
    total = 1 + SEVERITIES * len(ways)
    with one_thread(), progress_bar(desc=f"robustness of {run.method}", total=total, unit="severity") as bar:
        clean, found = accuracy_of(run, split), dict[str, list[Point]]()
        bar.update()
        for name, corrupt in ways.items():
            found[name] = [point_of(0, clean, len(split))]
            for severity in range(1, SEVERITIES + 1):
                accuracy = accuracy_of(run, corrupt(split, severity, seed))
                found[name].append(point_of(severity, accuracy, len(split)))
                bar.update()
    return found


def accuracy_of(run: TrainedNetwork, split: Split) -> float:
    """Share of the images whose last prediction is right, as `hardattn.evaluation.evaluate` has it."""
    if isinstance(run.network, Baseline):
        network, settings = run.whole_image()
        geometry = seen_geometry(settings)
        logits = logits_of(network, averaged_split(split, geometry.height), geometry)
    else:
        logits = looks_at(run, split).predictions.log_probs
    return accuracy_and_nll(logits[:, -1:], split.labels.cpu())[0][0]


def point_of(severity: int, accuracy: float, count: int) -> Point:
    """With the interval of Wilson 1927 of a share of so many images.

    >>> point = point_of(1, 0.5, 100)
    >>> round(point.low, 3), round(point.high, 3)
    (0.404, 0.596)
    """
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(round(accuracy * count), count).proportion_ci(LEVEL, method="wilson")
    return Point(severity, accuracy, float(interval.low), float(interval.high))


def _require_tools(split: Split, names: Sequence[str]) -> None:
    """Raises SettingsError where a corruption cannot be made here, before anything slow."""
    one = split.take(torch.tensor([0]))
    for name in names:
        if name != ATTACK:
            corrupted(one, name, 1)


def _by_name(name: str) -> Corrupt:
    return lambda split, severity, seed: corrupted(split, name, severity, seed)
