"""Which posterior, completion, estimator and score make a design together."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boed.completions.registry import COMPLETIONS
from boed.estimators.registry import ESTIMATORS, SCORES
from boed.posteriors.registry import POSTERIORS
from data.errors import SettingsError

if TYPE_CHECKING:
    from data.geometry import Geometry  # torch, for which a wrong choice does not wait

CHOICES: Mapping[str, Collection[str]] = {
    "posterior": POSTERIORS,
    "completion": COMPLETIONS,
    "estimator": ESTIMATORS,
    "score": SCORES,
}
"""Names of what there is for each part, in the registries."""
UNLABELLED_SCORE = "entropy"  # of completions without labels, where no other is asked for


@dataclass(frozen=True)
class Combination:
    """One choice for each part of a design; the first of each kind is the default.

    Args:
        posterior: q: "glimpse-set", "avp-cnn", or "exact" where the images can be enumerated.
        completion: r: "retrieval", "cvae", "gaussian", "proposals", or "exact".
        estimator: "completion" is the mean score over completions; "amortised" is a network that needs none.
        score: "cross-entropy", "entropy" or "information" (see `boed.estimators.epe`).
        bank: folder of images that "proposals" retrieves from; None: the labelled ones that q has not seen.

    Raises:
        SettingsError: unknown names, or parts that do not go together.

    >>> Combination().tag, Combination(completion="cvae", score="entropy").tag
    ('', '-cvae-entropy')
    """

    posterior: str = "glimpse-set"
    completion: str = "retrieval"
    estimator: str = "completion"
    score: str = "cross-entropy"
    bank: str | None = None

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"expected a {name} of {', '.join(choices)}; found {getattr(self, name)!r}"
                )
        if self.bank is not None and not COMPLETIONS[self.completion].takes_bank:
            takers = " or ".join(name for name, kind in COMPLETIONS.items() if kind.takes_bank)
            raise SettingsError(
                f"expected no bank for the completion {self.completion}, found {self.bank}; add --completion "
                f"{takers} or leave out --bank"
            )
        estimator = ESTIMATORS[self.estimator]
        if estimator.completes and not self.labelled and self.score == "cross-entropy":
            raise SettingsError(
                f"expected the score entropy or information for {self.completion}, whose completions carry "
                "no label, found cross-entropy; add --score entropy"
            )
        if not estimator.completes and self.completion != type(self).completion:
            raise SettingsError(
                f"expected no completion for {self.estimator}, which needs none, found {self.completion}; "
                "leave one of them out"
            )
        if self.score not in estimator.scores:
            raise SettingsError(
                f"expected the score {' or '.join(estimator.scores)} for {self.estimator}, found "
                f"{self.score}; choose another"
            )

    @classmethod
    def of(cls, **chosen: str | None) -> Combination:
        """The choices that are given; the score follows from them where it is not.

        >>> Combination.of(completion="gaussian").score
        'entropy'
        """
        given = {name: value for name, value in chosen.items() if value is not None}
        completion = given.get("completion", cls.completion)
        if completion in COMPLETIONS and not COMPLETIONS[completion].labelled:
            given.setdefault("score", UNLABELLED_SCORE)
        return cls(**given)

    @property
    def labelled(self) -> bool:
        """Whether completions carry labels."""
        return COMPLETIONS[self.completion].labelled

    @property
    def exact(self) -> bool:
        """Whether a part knows the images of the task, which must then be enumerable."""
        return POSTERIORS[self.posterior].exact or COMPLETIONS[self.completion].exact

    @property
    def words(self) -> str:
        """Its parts, for a table.

        >>> Combination().words
        'glimpse-set, retrieval, completion, cross-entropy'
        """
        return ", ".join([self.posterior, self.completion, self.estimator, self.score])

    @property
    def tag(self) -> str:
        """What names of files add for choices that are not the default.

        >>> Combination(posterior="exact").tag, Combination(completion="exact").tag
        ('-exact', '-exact-completion')
        """
        default = Combination()
        parts = {name: value for name, value in asdict(self).items() if value != getattr(default, name)}
        if self.completion in POSTERIORS:  # "exact" is the posterior
            parts["completion"] = f"{self.completion}-completion"
        if self.bank is not None:
            parts["bank"] = Path(self.bank).name
        return "".join(f"-{part}" for part in parts.values())


def require_sensor(combination: Combination, geometry: Geometry, glimpses: int) -> None:
    """Raises SettingsError for parts that a first glance or several sides do not go with.

    What makes images from what was seen pastes it where it was seen, pixel by pixel: a glance was seen
    nowhere, and what is averaged down are no pixels. What is exact enumerates the patterns that a place can
    show, of which a wide square has too many. A first glance wants a glimpse after it.

    >>> from data.geometry import Geometry
    >>> require_sensor(Combination(), Geometry(8, 8, 1, glimpse_size=4, first_glance=True), 2)
    """
    for name in ("first_glance", "sides"):
        if getattr(geometry, name):
            _require_able(combination, name)
    if geometry.first_glance and glimpses < 2:
        raise SettingsError(
            f"expected at least 2 glimpses with --first-glance, which is one of them, found {glimpses}"
        )


def _require_able(combination: Combination, name: str) -> None:
    """Raises SettingsError for a part whose kind does not go with a field of the geometry."""
    for registry in (POSTERIORS, COMPLETIONS, ESTIMATORS):
        chosen = getattr(combination, registry.kind)
        if not getattr(registry[chosen], name):
            able = " or ".join(each for each, kind in registry.items() if getattr(kind, name))
            raise SettingsError(
                f"expected the {registry.kind} {able} with --{name.replace('_', '-')}, found {chosen}; leave "
                "one of them out"
            )


def require_search(combination: Combination, search: str, coarse: bool) -> None:
    """Raises SettingsError for a search that the combination cannot serve."""
    completes = ESTIMATORS[combination.estimator].completes
    if search != "greedy" and (not completes or combination.score == "information"):
        raise SettingsError(
            f"expected --search greedy for the estimator {combination.estimator} with the score "
            f"{combination.score}, found {search}; looking ahead needs completions and a score of each"
        )
    if coarse and search != "greedy":
        raise SettingsError(f"expected --search greedy with --coarse, found {search}; leave one of them out")


def require_price(pixel_price: float, search: str) -> None:
    """Raises SettingsError for a price of pixels that is none, or that the search does not know."""
    if not 0 <= pixel_price < math.inf:
        raise SettingsError(f"expected a pixel price of at least 0 nats, found {pixel_price}; change it")
    if pixel_price and search != "greedy":
        raise SettingsError(
            f"expected --search greedy with --pixel-price, found {search}; leave one of them out"
        )


def require_unseen(combination: Combination) -> None:
    """Raises SettingsError where images of the train split, designed for, would complete themselves."""
    if COMPLETIONS[combination.completion].takes_bank and combination.bank is None:
        raise SettingsError(
            "expected completions that can leave an image of the train split out of its own, found "
            f"{combination.completion} from its labelled images; add --bank DIR or choose another "
            "--completion"
        )
