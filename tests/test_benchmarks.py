import sys
from pathlib import Path
from typing import Any

import pytest
from boed_tiny import pointer_dataset
from cli_tiny import assert_refused
from click.testing import CliRunner

from benchmarks import demo, designs, figures, fitted, table
from benchmarks.figures import Run
from benchmarks.jobs import Job, JobError, run_all
from benchmarks.plan import LONG, ROWS, Plan
from boed.estimators.registry import SCORES
from boed.fitting.fit import fit
from data import SettingsError


def log(*nll: float, per_iteration: float = 0.01) -> list[dict[str, float]]:
    """Lines of a log, checked every 100 iterations."""
    return [{"iteration": 100 * n, "seconds": n * 100 * per_iteration, "nll": v} for n, v in enumerate(nll)]


def run(
    seed: int = 0, last: float = 0.9, nll: tuple[float, ...] = (0.7, 0.3, 0.2), method: str = "ps-nogs"
) -> Run:
    curve = [point("fixed", 1, 1.0, 0.8), point("fixed", 2, 2.0, last), point("gain", 0.1, 1.5, last - 0.004)]
    lines = log(*nll)
    evaluation = {
        "seed": seed,
        "method": method,
        "accuracy_at": {"1": 0.8, "2": last},
        "nll_at": {"1": 0.5, "2": 0.25},
        "iterations_to_convergence": 200,
        "seconds_to_convergence": 2.0,
        "curve": curve,
    }
    return Run(evaluation, lines, {"fit": 3.0, "generate": 1.0, "train": 4.0}, figures.cheapest(curve))


def point(rule: str, threshold: float, glimpses: float, accuracy: float, nll: float = 0.25) -> dict[str, Any]:
    found = {"rule": rule, "threshold": threshold, "mean_glimpses": glimpses, "mflops": 2 * glimpses}
    return found | {"accuracy": accuracy, "nll": nll}


def test_cheapest_point_is_as_good_as_all_glimpses() -> None:
    curve = [point("fixed", 1, 1.0, 0.70), point("fixed", 5, 5.0, 0.90)]
    assert figures.cheapest(curve)["mean_glimpses"] == 5.0
    curve += [point("gain", 0.1, 2.0, 0.894), point("gain", 0.2, 3.0, 0.896), point("gain", 0.3, 4.0, 0.95)]
    assert figures.cheapest(curve)["threshold"] == 0.2
    curve += [point("gain", 0.4, 2.5, 0.9, nll=0.28)]  # as accurate, but less sure
    assert figures.cheapest(curve)["threshold"] == 0.2


def test_accuracy_table_has_means_and_each_seed() -> None:
    lines = figures.accuracy_table({"a row": [run(0, 0.9), run(1, 0.92)]}).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells == ["a row", "80.0", "91.0 (90.0, 92.0)", "0.250", "1.50", "90.6", "3.00"]


def test_convergence_table_pairs_runs_of_the_same_seed() -> None:
    slow = [run(1, nll=(0.7, 0.6, 0.5, 0.4), method="ram"), run(0, nll=(0.7, 0.6, 0.3, 0.2), method="ram")]
    runs = {"guided": [run(0), run(1)], "slow": slow}
    guided, alone = figures.convergence_table(runs, "slow").splitlines()[2:]
    assert "| 1.5, > 1.5 " in guided
    assert "| 0.5, > 0.5 " in guided  # 3 s of REINFORCE over 2 s and 4 s for the sequences
    assert [cell.strip() for cell in alone.split("|")[4:7]] == ["", "", ""]


def test_time_table_leaves_out_steps_that_a_row_does_not_have() -> None:
    line = figures.time_table({"a": [run(), run()]}).splitlines()[2]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["a", "3", "1", "4", ""]


def test_demo_summary_has_a_line_per_method() -> None:
    groups = {"one": [run(0, 0.9), run(1, 0.92)], "other": [run(0, 0.5), run(1, 0.5)]}
    lines = demo.summary(groups).splitlines()
    assert len(lines) == 4
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert cells[0][:3] == ["one", "80.0 ± 0.0", "91.0 ± 1.4"]
    assert cells[1][:3] == ["other", "80.0 ± 0.0", "50.0 ± 0.0"]


def test_plan_puts_every_job_after_what_it_needs_and_uses_all_options() -> None:
    device = ("--device", "cpu")
    plan = Plan(Path("r"), 1, ("--dataset", "d"), ("--scales", "3"), ("--minutes", "1"), 600, device)
    jobs = plan.jobs([*ROWS, LONG], ("--minutes", "10"))
    seen: set[str] = set()
    for job in jobs:
        assert seen.issuperset(job.needs), job
        seen.add(job.name)
        assert "--device" in job.arguments
    by_name = {job.name: list(job.arguments) for job in jobs}
    assert by_name["seed-1/train-ram"][-4:] == ["--minutes", "1", "--method", "ram"]
    assert by_name["seed-1/train-ram-long"][-4:] == ["--minutes", "10", "--method", "ram"]
    assert by_name["seed-1/train-design"][-2:] == ["--supervise", str(Path("r/sequences.h5"))]
    assert "600" in by_name["seed-1/generate-design"]


def test_seeds_may_share_their_designs() -> None:
    first, second = (Plan(Path("r"), seed, fit=("--iterations", "9"), designed_by=0) for seed in (0, 1))
    jobs = {job.name: job for plan in (first, second) for job in plan.jobs(["design", "ram"])}
    assert [name for name in jobs if "fit" in name or "generate" in name] == [
        "seed-0/fit",
        "seed-0/generate-design",
    ]
    assert list(jobs["seed-0/fit"].arguments)[-4:] == ["--seed", "0", "--iterations", "9"]
    assert jobs["seed-1/train-design"].needs == ("seed-0/generate-design",)
    assert list(jobs["seed-1/train-design"].arguments)[4:7] == ["r", "--seed", "1"]


def test_all_training_images_may_be_imitated() -> None:
    jobs = {
        job.name: list(job.arguments)
        for job in Plan(Path("r"), everyone=True).jobs(["design", "fixed-order"])
    }
    assert jobs["seed-0/generate-design"][-4:] == ["--images", "all", "--split", "train"]
    store = str(Path("r/sequences-train-fixed-order.h5"))
    assert jobs["seed-0/train-fixed-order"][-4:] == ["--method", "nogs-all", "--supervise", store]
    assert jobs["seed-0/evaluate-design"][3] == str(Path("r/hardattn-nogs-all-0"))


def test_plan_without_supervised_rows_fits_nothing() -> None:
    assert not [job for job in Plan(Path("r")).jobs(["ram"]) if "boed" in job.arguments]


def test_table_refuses_a_folder_of_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings = {"dataset": "digits", "minutes": 1.0, "seeds": 1, "ram_factor": None, "data_root": None}
    table.require_same(path, settings)
    table.require_same(path, settings | {"seeds": 3, "ram_factor": 10.0})
    table.require_same(path, settings)
    with pytest.raises(SettingsError, match=r"minutes = 2\.0, found 1\.0"):
        table.require_same(path, settings | {"minutes": 2.0})
    with pytest.raises(SettingsError, match="ram_factor"):
        table.require_same(path, settings | {"ram_factor": 20.0})


def test_report_does_not_say_where_the_images_lie() -> None:
    settings = {"dataset": "celebahq", "attribute": "Male", "data_root": Path("/secret"), "seeds": 1}
    text = table.report(settings, {"a": [run()], "b": [run()]}, "b")
    assert "secret" not in text
    assert text.startswith("# celebahq Male")


def test_designs_are_judged_by_q_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for every score and rule: of a fitted folder, on validation images."""
    dataset = pointer_dataset(train=60)
    monkeypatch.setattr(fitted, "load", lambda name, **options: dataset)
    missing = CliRunner().invoke(designs.main, [str(tmp_path)])
    assert_refused(missing, f"saved weights at {tmp_path}", "found none", "boed fit")
    assert not any(tmp_path.iterdir())
    fit(dataset, tmp_path / "approximations", iterations=4, width=8)
    result = CliRunner().invoke(designs.main, [str(tmp_path), "--images", "9"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("9 validation images of pointer label")
    for score in SCORES:
        assert sum(line.startswith(f"| {score}, ") for line in lines) == 5
    fixed = [line.partition("weight 0 ")[2] for line in lines if ", weight 0 |" in line]
    assert len(fixed) == 3 and fixed[1] == fixed[2]  # the average map of the information is the entropy's
    assert lines[-1].startswith("| random |") and len(lines[-1].split("|")) == 6


def script(name: str, code: str, *needs: str, result: Path | None = None) -> Job:
    return Job(name, ["-c", code], needs, result)


def test_jobs_run_in_order_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    write = f"open({str(path)!r}, 'a').write"
    jobs = [script("last", f"{write}('b')", "a/first"), script("a/first", f"{write}('a')")]
    said: list[str] = []
    seconds = run_all(jobs, tmp_path / "notes", say=said.append)
    assert path.read_text() == "ab"
    assert set(seconds) == {"last", "a/first"}
    assert min(seconds.values()) > 0
    assert len(said) == 4
    again = run_all(jobs, tmp_path / "notes", say=said.append)
    assert again == seconds
    assert path.read_text() == "ab"
    run_all([script("last", f"{write}('c')")], tmp_path / "notes", say=said.append)
    assert path.read_text() == "abc"


def test_a_job_whose_result_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    job = script("a", "raise SystemExit(1)", result=tmp_path / "there")
    assert run_all([job], tmp_path / "notes") == {"a": 0.0}


def test_a_failed_job_says_what_it_said_and_is_run_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = f"import pathlib, sys; sys.exit('no flag' if not pathlib.Path({str(flag)!r}).exists() else 0)"
    with pytest.raises(JobError, match="no flag"):
        run_all([script("a", code)], tmp_path / "notes")
    flag.touch()
    assert run_all([script("a", code)], tmp_path / "notes")["a"] > 0


def test_jobs_that_wait_for_one_another_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="waiting"):
        run_all([script("a", "", "b"), script("b", "", "a")], tmp_path)


def test_a_failure_ends_what_runs_beside_it(tmp_path: Path) -> None:
    jobs = [script("slow", "import time; time.sleep(60)"), script("bad", "raise SystemExit(3)")]
    with pytest.raises(JobError, match="ended with 3"):
        run_all(jobs, tmp_path)
    assert '"done": false' in (tmp_path / "slow.json").read_text()


def test_jobs_get_one_thread_and_this_python(tmp_path: Path) -> None:
    run_all([script("a", "import os, sys; print(os.environ['OMP_NUM_THREADS'], sys.executable)")], tmp_path)
    assert (tmp_path / "a.log").read_text().split() == ["1", sys.executable]
