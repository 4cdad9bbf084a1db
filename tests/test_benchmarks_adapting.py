"""Whether adapting could pay: rules by hand, and a world in which one glimpse says where to look next."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from boed_tiny import pointer_split
from click.testing import CliRunner

from benchmarks import adapting
from benchmarks.adapting import Known, Rule, by_belief, by_class, compared, looked_along, share_of
from boed.approximations import Approximations
from boed.cli.fit import fit as fit_command
from boed.combination import Combination
from boed.search.prediction import embedded
from data.errors import SettingsError

INF = torch.inf


def known(realised: list[list[float]], labels: list[int]) -> Known:
    """Images whose beliefs are their labels."""
    told = torch.tensor(labels)
    return Known(torch.tensor(realised).double(), told[:, None].double(), told, torch.rand(len(labels), 4))


def test_the_map_of_a_class_leaves_the_image_out_where_it_is_of_the_bank() -> None:
    bank = known([[1.0, 5.0], [3.0, 9.0], [7.0, 7.0]], [0, 0, 1])
    assert by_class(bank, bank, True)[:2].tolist() == [[3, 9], [1, 5]]
    assert by_class(known([[0.0, 0.0]], [0]), bank, False).tolist() == [[2, 7]]


def test_neighbours_are_the_nearest_but_never_the_image_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting, "NEIGHBOURS", 1)
    bank = known([[1.0, 5.0], [3.0, 9.0], [7.0, 7.0]], [0, 1, 9])
    assert by_belief(bank, bank, True).tolist() == [[3, 9], [1, 5], [3, 9]]
    assert by_belief(known([[0.0, 0.0]], [8]), bank, False).tolist() == [[7, 7]]


def test_a_map_that_knows_nothing_gets_no_share() -> None:
    truth = torch.tensor([[0.0, 1.0, INF], [1.0, 0.0, INF]] * 9).double()
    average = truth.mean(0) + torch.tensor([0.0, 0.01, 0.0])
    assert share_of(truth, average, truth) > 0
    assert share_of(truth.flip(0), average, truth) == 0  # each has the map of another image


def test_the_oracle_is_ahead_of_all_and_the_fixed_order_is_what_it_is() -> None:
    bank = known([[1.0, 2.0], [1.0, 2.0], [2.0, 0.5], [2.0, 0.5]] * 3, [0, 0, 1, 1] * 3)
    of = known([[1.0, 2.0], [2.0, 0.5]], [0, 1])
    found = compared(of, bank, own=torch.tensor([[1.0, 2.0], [1.0, 2.0]]).double(), weight=1.0)
    assert found["fixed order"] == 1.25  # the second place, 1.25 on average over the bank as well
    assert found["own map"] == Rule(1.0, -0.25, 1.25)  # the first place of both
    assert isinstance(found["label known"], Rule) and found["label known"].gain == 0.5
    assert found["oracle"] == Rule(1.0, 0.5, 0.5)


def test_where_a_glimpse_says_where_to_look_next_own_maps_and_neighbours_are_ahead(
    pointer_fit: Approximations,
) -> None:
    first, _ = looked_along(pointer_fit, embedded(pointer_fit, pointer_split(200, seed=3)))
    for rule in ("own map", "neighbours", "label known"):
        found = first[rule]
        assert isinstance(found, Rule) and found.gain > 4 * found.error > 0
    assert isinstance(first["oracle"], Rule) and isinstance(first["own map"], Rule)
    assert first["oracle"].gain >= first["own map"].gain


def test_a_fit_of_one_glimpse_has_nothing_to_adapt(pointer_fit: Approximations) -> None:
    single = replace(
        pointer_fit,
        settings=replace(pointer_fit.settings, glimpses=1),
        weights=pointer_fit.weights[:1],
        calibrations=pointer_fit.calibrations[:1],
    )
    with pytest.raises(SettingsError, match="at least 2 glimpses, found 1"):
        adapting.require_comparable(single)


@pytest.mark.parametrize(
    ("parts", "message"),
    [({"score": "entropy"}, "found those of entropy"), ({"posterior": "exact"}, "found an exact one")],
)
def test_maps_that_do_not_say_what_is_realised_are_refused(
    parts: dict[str, str], message: str, pointer_fit: Approximations
) -> None:
    with pytest.raises(SettingsError, match=message):
        adapting.require_comparable(replace(pointer_fit, combination=Combination(**parts)))


def test_the_command_prints_a_row_for_every_glimpse_but_the_first(tmp_path: Path) -> None:
    fit = ["--dataset", "digits", "--run", tmp_path, "--iterations", 20, "--width", 8, "--places", 12]
    fit += ["--trial-images", 20, "--glimpses", 3, "--device", "cpu"]
    assert CliRunner().invoke(fit_command, list(map(str, fit))).exit_code == 0
    found = CliRunner().invoke(adapting.main, [str(tmp_path), "--images", "30"])
    assert found.exit_code == 0, found.output
    head, _, *rows = found.output.splitlines()[-4:]
    assert "fixed order | own map | neighbours | image seen | label known | oracle" in head
    assert [row.split("|")[1].strip() for row in rows] == ["2", "3"]
    refused = CliRunner().invoke(adapting.main, [str(tmp_path / "nowhere")])
    assert refused.exit_code == 2 and "expected approximations" in refused.output
