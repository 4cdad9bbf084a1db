"""Pictures are drawn whatever backend is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
from data.drawing import figure_of
figure = figure_of(2, 1)
figure.add_subplot().set_title("50$ to 60$, a_b", parse_math=False)
figure.savefig(sys.argv[1])
assert os.environ["MPLBACKEND"] == sys.argv[2]
"""


@pytest.mark.parametrize("backend", ["module://no_such_module.backend_inline", "inline", "TkAgg", "agg"])
def test_a_backend_that_is_not_there_does_not_matter(backend: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    picture = tmp_path / "a.png"
    subprocess.run(
        [sys.executable, "-c", CODE, str(picture), backend],
        env=environment | {"MPLBACKEND": backend},
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
