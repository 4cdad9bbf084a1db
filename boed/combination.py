"""Which posterior, completion, estimator and score make a design together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import SettingsError

if TYPE_CHECKING:
    from data.geometry import Geometry  # slow to import, and no name needs it

CHOICES: dict[str, tuple[str, ...]] = {
    "posterior": ("glimpse-set", "avp-cnn", "exact"),
    "completion": ("retrieval", "cvae", "gaussian", "proposals", "exact"),
    "estimator": ("completion", "amortised"),
    "score": ("cross-entropy", "entropy", "information"),
}
LABELLED = ("retrieval", "exact")  # completions that are images of a labelled set


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
        if self.bank is not None and self.completion != "proposals":
            raise SettingsError(
                f"expected no bank for the completion {self.completion}, found {self.bank}; add --completion "
                "proposals or leave out --bank"
            )
        if self.estimator == "completion" and not self.labelled and self.score == "cross-entropy":
            raise SettingsError(
                f"expected the score entropy or information for {self.completion}, whose completions carry "
                "no label, found cross-entropy; add --score entropy"
            )
        if self.estimator == "amortised" and self.completion != CHOICES["completion"][0]:
            raise SettingsError(
                f"expected no completion for amortised, which needs none, found {self.completion}; leave "
                "one of them out"
            )
        if self.estimator == "amortised" and self.score == "information":
            raise SettingsError(
                "expected the score cross-entropy or entropy for amortised, found information; choose another"
            )

    @classmethod
    def of(cls, **chosen: str | None) -> Combination:
        """The choices that are given; the score follows from them where it is not.

        >>> Combination.of(completion="gaussian").score
        'entropy'
        """
        given = {name: value for name, value in chosen.items() if value is not None}
        if given.get("completion", LABELLED[0]) not in LABELLED:
            given.setdefault("score", "entropy")
        return cls(**given)

    @property
    def labelled(self) -> bool:
        """Whether completions carry labels."""
        return self.completion in LABELLED

    @property
    def tag(self) -> str:
        """What names of files add for choices that are not the default.

        >>> Combination(posterior="exact").tag, Combination(completion="exact").tag
        ('-exact', '-exact-completion')
        """
        default = Combination()
        parts = {name: value for name, value in asdict(self).items() if value != getattr(default, name)}
        if self.completion == "exact":
            parts["completion"] = "exact-completion"  # "exact" is the posterior
        if self.bank is not None:
            parts["bank"] = Path(self.bank).name
        return "".join(f"-{part}" for part in parts.values())


def require_glance(combination: Combination, geometry: Geometry, glimpses: int) -> None:
    """Raises SettingsError for parts that a first glance does not go with, or nothing after it.

    What makes images from what was seen pastes it where it was seen, and a glance was seen nowhere.

    >>> from data.geometry import Geometry
    >>> require_glance(Combination(), Geometry(8, 8, 1, glimpse_size=4, first_glance=True), 2)
    """
    if not geometry.first_glance:
        return
    for name in ("posterior", "completion", "estimator"):
        found = getattr(combination, name)
        if found != CHOICES[name][0]:
            raise SettingsError(
                f"expected the {name} {CHOICES[name][0]} with --first-glance, found {found}; leave one of "
                "them out"
            )
    if glimpses < 2:
        raise SettingsError(
            f"expected at least 2 glimpses with --first-glance, which is one of them, found {glimpses}"
        )


def require_search(combination: Combination, search: str, coarse: bool) -> None:
    """Raises SettingsError for a search that the combination cannot serve."""
    if search != "greedy" and (combination.estimator == "amortised" or combination.score == "information"):
        raise SettingsError(
            f"expected --search greedy for the estimator {combination.estimator} with the score "
            f"{combination.score}, found {search}; looking ahead needs completions and a score of each"
        )
    if coarse and search != "greedy":
        raise SettingsError(f"expected --search greedy with --coarse, found {search}; leave one of them out")


def require_unseen(combination: Combination) -> None:
    """Raises SettingsError where images of the train split, designed for, would complete themselves."""
    if combination.completion == "proposals" and combination.bank is None:
        raise SettingsError(
            "expected completions that can leave an image of the train split out of its own, found proposals "
            "from its labelled images; add --bank DIR or choose another --completion"
        )
