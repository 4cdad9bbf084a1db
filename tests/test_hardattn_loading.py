"""What run.json says is loaded, or refused with what helps."""

from pathlib import Path

import pytest

from data.errors import CheckpointError
from hardattn.loading import settings_of
from hardattn.training.settings import RunFile


@pytest.mark.parametrize("kind", ["method", "baseline"])
@pytest.mark.parametrize(
    ("software", "written"), [("boed-hardattn 9.0", "by boed-hardattn 9.0"), ("", "does not name")]
)
def test_a_name_that_is_not_known_here_may_be_of_a_package(kind: str, software: str, written: str) -> None:
    run = RunFile({kind: "theirs"}, software)
    with pytest.raises(CheckpointError, match=f"expected a {kind} of .*'theirs'.*{written}; a package that"):
        settings_of(run, Path("runs/x"))
