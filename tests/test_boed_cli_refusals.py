"""Bad input to `boed fit` and `boed generate`: one line, and nothing is written or begun."""

from pathlib import Path

import pytest
from cli_tiny import assert_refused, call
from PIL import Image

BAD: list[list[object]] = [
    ["--dataset", "letters"],
    ["--dataset", "celebahq"],
    ["--dataset", "celebahq", "--data-root", "nowhere"],
    ["--dataset", "folder", "--data-root", "nowhere"],
    ["--dataset", "mnist", "--data-root", "."],
    ["--data-root", "."],
    ["--attribute", "Male"],
    ["--canvas", "60"],
    ["--glimpses", "0"],
    ["--glimpse-size", "41"],
    ["--glimpse-size", "0"],
    ["--scales", "0"],
    ["--iterations", "0"],
    ["--places", "0"],
    ["--seed", "-1"],
    ["--device", "abacus"],
    ["--width", "0"],
    ["--resolution", "0"],
    ["--backbone", "resnet7"],
    ["--posterior", "oracle"],
    ["--posterior", "exact"],
    ["--completion", "exact"],
    ["--completion", "bilinear"],
    ["--completion", "cvae", "--score", "cross-entropy"],
    ["--completion", "gaussian", "--score", "cross-entropy"],
    ["--completion", "proposals", "--score", "cross-entropy"],
    ["--completion", "proposals", "--bank", "nowhere"],
    ["--completion", "proposals", "--bank", "."],
    ["--bank", "."],
    ["--completion", "cvae", "--estimator", "amortised"],
    ["--estimator", "amortised", "--score", "information"],
    ["--score", "accuracy"],
]
BAD_SEARCHES: list[list[object]] = [
    ["--search", "exhaustive"],
    ["--search", "beam", "--estimator", "amortised"],
    ["--search", "lookahead", "--score", "information"],
    ["--search", "beam", "--coarse"],
    ["--completions", "0"],
    ["--memory-gb", "-1"],
    ["--source", "oracle"],
]


@pytest.mark.parametrize("command", ["fit", "generate"])
@pytest.mark.parametrize("arguments", BAD, ids=lambda words: "-".join(words))
def test_bad_input_gets_one_line_and_writes_nothing(
    command: str, arguments: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call(command, *arguments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", BAD_SEARCHES, ids=lambda words: "-".join(words))
def test_an_impossible_search_is_refused_before_the_fit(
    arguments: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = "boed.fitting.fit.fit"
    monkeypatch.setattr(begun, lambda *_, **__: pytest.fail("a fit was begun"))
    assert_refused(call("generate", *arguments))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("images", ["0", "-1", "abc", "1.5", "", "²"])
def test_impossible_numbers_of_images(images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call("generate", f"--images={images}"), "images")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_attribute_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "faces" / "CelebA-HQ-img"
    images.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(images / "2000.jpg")
    text = "1\nMale Young\n2000.jpg  1 -1\n"
    (tmp_path / "faces" / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    options = ["--dataset", "celebahq", "--data-root", "faces", "--attribute", "Sleepy"]
    assert_refused(call("generate", *options), "Sleepy")
    assert [file.name for file in tmp_path.iterdir()] == ["faces"]
