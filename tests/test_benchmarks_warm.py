"""Commands in forked processes: the same exit codes, words and arguments as those of an interpreter."""

from pathlib import Path

import pytest

from benchmarks.jobs import Job, JobError, run_all
from benchmarks.warm import ForkedCommand

SAYS = (
    "import sys; print(sys.argv[1:], __name__); print('worse', file=sys.stderr); sys.exit(int(sys.argv[1]))"
)


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saying.py").write_text(SAYS)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_what_a_command_says_goes_into_its_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_all([Job("a", ["-m", "saying", "0", "--x"])], tmp_path / "notes", start=ForkedCommand)
    said = (tmp_path / "notes" / "a.log").read_text()
    assert said == "['0', '--x'] __main__\nworse\n"
    assert "worse" not in capfd.readouterr().err


def test_a_command_that_fails_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "sleeping.py").write_text("import time; time.sleep(60)")
    jobs = [Job("slow", ["-m", "sleeping"]), Job("bad", ["-m", "saying", "3"])]
    with pytest.raises(JobError, match="ended with 3 after saying"):
        run_all(jobs, tmp_path / "notes", start=ForkedCommand)
    assert not run_all([], tmp_path / "notes")
