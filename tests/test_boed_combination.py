from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest

from boed.combination import CHOICES, Combination, require_search
from boed.completions.registry import COMPLETIONS
from boed.estimators.registry import SCORES
from boed.search.choices import SEARCHES
from data.errors import SettingsError


def allowed() -> Iterator[Combination]:
    """Every combination that can be made."""
    for names in product(*CHOICES.values()):
        try:
            yield Combination(**dict(zip(CHOICES, names, strict=True)))
        except SettingsError:
            continue


ALLOWED = list(allowed())
LABELLED = [name for name, kind in COMPLETIONS.items() if kind.labelled]


def test_the_first_of_each_kind_is_the_default() -> None:
    assert Combination() == Combination(**{kind: next(iter(names)) for kind, names in CHOICES.items()})
    assert Combination() == Combination.of() and Combination().tag == ""
    assert CHOICES["score"] == SCORES


@pytest.mark.parametrize("kind", CHOICES)
@pytest.mark.parametrize("name", ["", "bilinear", "Retrieval", "glimpse set"])
def test_an_unknown_name_is_refused_with_those_there_are(kind: str, name: str) -> None:
    with pytest.raises(
        SettingsError, match=f"expected a {kind} of {', '.join(CHOICES[kind])}; found '{name}'"
    ):
        Combination(**{kind: name})


def test_completions_without_labels_have_no_cross_entropy() -> None:
    unlabelled = set(CHOICES["completion"]) - set(LABELLED)
    assert unlabelled == {"cvae", "gaussian", "proposals"}
    for completion in unlabelled:
        with pytest.raises(SettingsError, match=f"for {completion}, whose completions carry no label"):
            Combination(completion=completion)
        for score in ("entropy", "information"):
            assert not Combination(completion=completion, score=score).labelled
    for completion in LABELLED:
        assert all(Combination(completion=completion, score=score).labelled for score in SCORES)


def test_the_network_has_a_score_of_single_outcomes() -> None:
    with pytest.raises(SettingsError, match="cross-entropy or entropy for amortised, found information"):
        Combination(estimator="amortised", score="information")
    assert Combination.of(estimator="amortised").score == "cross-entropy"  # labels are those of the bank


def test_the_network_needs_no_completion() -> None:
    for completion in set(CHOICES["completion"]) - {"retrieval"}:
        with pytest.raises(
            SettingsError, match=f"expected no completion for amortised, .* found {completion}"
        ):
            Combination.of(completion=completion, estimator="amortised")


@pytest.mark.parametrize(
    ("given", "score"),
    [
        ({}, "cross-entropy"),
        ({"completion": "cvae"}, "entropy"),
        ({"completion": "gaussian", "score": "information"}, "information"),
        ({"completion": "exact"}, "cross-entropy"),
        ({"completion": "retrieval", "score": None}, "cross-entropy"),
        ({"posterior": "avp-cnn", "completion": "gaussian", "estimator": None}, "entropy"),
    ],
)
def test_a_score_that_is_not_given_follows_from_the_rest(given: dict[str, str | None], score: str) -> None:
    found = Combination.of(**given)
    assert found.score == score
    assert all(getattr(found, name) == value for name, value in given.items() if value is not None)


def test_a_score_that_is_given_is_not_changed() -> None:
    with pytest.raises(SettingsError, match="add --score entropy"):
        Combination.of(completion="cvae", score="cross-entropy")


def test_every_combination_has_a_tag_of_its_own() -> None:
    tags = [combination.tag for combination in ALLOWED]
    assert len(set(tags)) == len(tags) == len(set(ALLOWED)) > 30
    assert Combination(posterior="avp-cnn", completion="cvae", score="entropy").tag == "-avp-cnn-cvae-entropy"
    assert all(tag == "" or tag.startswith("-") for tag in tags)


@pytest.mark.parametrize("search", SEARCHES)
def test_only_completions_with_a_score_of_each_are_looked_ahead_with(search: str) -> None:
    for combination in ALLOWED:
        able = combination.estimator == "completion" and combination.score != "information"
        if search == "greedy" or able:
            require_search(combination, search, False)
        else:
            with pytest.raises(SettingsError, match=f"expected --search greedy .* found {search}"):
                require_search(combination, search, False)


@pytest.mark.parametrize("search", SEARCHES)
def test_coarse_candidates_are_for_the_greedy_search(search: str) -> None:
    if search == "greedy":
        require_search(Combination(), search, True)
    else:
        with pytest.raises(SettingsError, match=f"expected --search greedy with --coarse, found {search}"):
            require_search(Combination(), search, True)


def test_only_proposals_have_a_bank_to_choose() -> None:
    for combination in ALLOWED:
        if combination.completion == "proposals":
            assert replace(combination, bank="of/photographs").tag == f"{combination.tag}-photographs"
        else:
            with pytest.raises(SettingsError, match="found photographs; add --completion proposals"):
                replace(combination, bank="photographs")
