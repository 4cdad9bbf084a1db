"""Where the time goes: stages are charged once, and only where it is asked for."""

import json
import threading
from pathlib import Path

import pytest
import torch
from cli_tiny import call
from clock_tiny import Clock

from data.device import seed_draws
from data.stages import REST, Profile, profiled, stage


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def profile(clock: Clock) -> Profile:
    return Profile(lambda: clock.now)


def test_a_moment_belongs_to_the_innermost_stage(clock: Clock, profile: Profile) -> None:
    clock.work(64)  # nobody's
    with profiled(profile):
        clock.work(1)
        with stage("outer"):
            clock.work(2)
            with stage("inner"):
                clock.work(4)
                with stage("outer"):
                    clock.work(8)
            clock.work(16)
        clock.work(32)
    clock.work(128)  # nobody's
    assert profile.seconds == {REST: 33.0, "outer": 26.0, "inner": 4.0}
    assert profile.total() == 63.0
    assert profile.shares() == {REST: 33 / 63, "outer": 26 / 63, "inner": 4 / 63}


def test_a_function_that_calls_itself_is_one_stage(clock: Clock, profile: Profile) -> None:
    @stage("count down")
    def down(number: int) -> int:
        clock.work(1)
        return down(number - 1) if number else 0

    assert down(3) == 0  # nobody asks
    with profiled(profile):
        down(4)
    assert profile.seconds == {REST: 0.0, "count down": 5.0}


def test_a_stage_that_fails_is_over(clock: Clock, profile: Profile) -> None:
    @stage("fails")
    def fail() -> None:
        clock.work(1)
        raise ValueError("no")

    with profiled(profile):
        with pytest.raises(ValueError, match="no"):
            fail()
        clock.work(2)
    with pytest.raises(ValueError, match="no"), profiled(profile):
        fail()
    assert profile.seconds == {REST: 2.0, "fails": 2.0}
    fail_again = Profile(lambda: clock.now)
    with profiled(fail_again):
        clock.work(4)
    assert (profile.total(), fail_again.seconds) == (4.0, {REST: 4.0})


def test_who_asks_within_takes_over_until_the_end_of_the_block(clock: Clock, profile: Profile) -> None:
    own = Profile(lambda: clock.now)
    with profiled(profile), stage("outer"):
        with profiled(own), stage("inner"):
            clock.work(1)
        with stage("after"):
            clock.work(2)
    assert own.seconds == {REST: 0.0, "inner": 1.0}
    assert profile.seconds == {REST: 0.0, "outer": 1.0, "after": 2.0}


def test_other_threads_are_not_charged(profile: Profile) -> None:
    def work() -> None:
        with stage("elsewhere"):
            pass

    with profiled(profile):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert set(profile.seconds) == {REST}


def test_a_profile_is_a_line_for_each_stage_the_longest_first(clock: Clock, profile: Profile) -> None:
    with profiled(profile):
        clock.work(1)
        with stage("training of q"):
            clock.work(3)
    assert [line.split() for line in str(profile).splitlines()] == [
        ["training", "of", "q", "3.00", "s", "75.0", "%"],
        ["the", "rest", "1.00", "s", "25.0", "%"],
        ["all", "4.00", "s", "100.0", "%"],
    ]
    assert len({line.index(" s ") for line in str(profile).splitlines()}) == 1  # they stand in columns
    assert str(Profile()).split() == ["all", "0.00", "s", "0.0", "%"] and Profile().shares() == {}


def test_nothing_is_read_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("time.perf_counter")
    with stage("unseen"):
        pass


def test_draws_are_seeded_as_torch_does_it() -> None:
    seed_draws(7)
    ours = torch.rand(3), torch.randperm(9)
    torch.manual_seed(7)
    assert torch.equal(ours[0], torch.rand(3)) and torch.equal(ours[1], torch.randperm(9))


SMALL_FIT = ("--dataset", "finite", "--iterations", 6, "--places", 9, "--width", 8, "--trial-images", 8)


def shares_in(text: str) -> dict[str, float]:
    """Stage -> share in %, of the lines of a profile."""
    rows = [line.rsplit(maxsplit=4) for line in text.splitlines() if line.endswith(" %")]
    return {name: float(share) for name, _, unit, share, _ in rows if unit == "s"}


def test_commands_say_where_the_time_went_on_standard_error(tmp_path: Path) -> None:
    fit = ("fit", "--run", tmp_path, *SMALL_FIT)
    first = call(*fit, "--profile")
    assert first.exit_code == 0, first.output
    found = shares_in(first.stderr)
    assert {"training of q", "codebook", "own maps", "calibration of q", "table", REST} <= set(found)
    assert found.pop("all") == 100 and sum(found.values()) == pytest.approx(100, abs=1)
    assert not shares_in(first.stdout)
    again = call(*fit)
    assert not shares_in(again.stderr) and again.stdout == first.stdout

    generate = ("generate", "--run", tmp_path, *SMALL_FIT, "--images", 20)
    stores = {name: tmp_path / f"{name}.h5" for name in ("design", "fixed-order")}
    for name, store in stores.items():
        made = call(*generate, "--source", name, "--out", store, "--profile")
        assert {"store", "average maps"} <= set(shares_in(made.stderr)), made.output
    compare = ("compare", *stores.values(), "--iterations", 3, "--json")
    said = call(*compare, "--profile")
    assert {"training of judges", "batches", "intervals"} <= set(shares_in(said.stderr)), said.output
    assert json.loads(said.stdout) == json.loads(call(*compare).stdout)


def test_a_refused_command_says_so_last(tmp_path: Path) -> None:
    refused = call("compare", tmp_path / "none.h5", "--profile")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1].startswith("error: ")
    assert shares_in(refused.stderr)["all"] == 100
