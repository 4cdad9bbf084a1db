"""How much sooner one run converged than another got as far."""

import pytest

from hardattn.training.convergence import sooner


def log(*nll: float, per_iteration: float = 0.01) -> list[dict[str, float]]:
    """Lines of a log, checked every 100 iterations."""
    return [{"iteration": 100 * n, "seconds": n * 100 * per_iteration, "nll": v} for n, v in enumerate(nll)]


def test_sooner_compares_with_the_first_check_that_is_as_good() -> None:
    # converges at 200 with 0.205, which is within 0.01 of 0.2; the other gets there at 1,000
    found = sooner(log(0.7, 0.3, 0.205, 0.2), log(*[0.7] * 10, 0.2, 0.1), made_in=8.0)
    assert (found.iterations, found.seconds, found.reached) == (5.0, 5.0, True)
    assert found.seconds_counted == pytest.approx(10.0 / (2.0 + 8.0))


def test_sooner_is_a_lower_bound_where_the_other_never_gets_there() -> None:
    found = sooner(log(0.7, 0.2), log(0.7, 0.6, 0.5, 0.4))
    assert (found.iterations, found.reached) == (3.0, False)


def test_sooner_is_finite_for_a_run_that_starts_converged() -> None:
    assert sooner(log(0.2), log(0.7, 0.6)).iterations == 100.0
