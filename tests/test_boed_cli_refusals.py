"""Bad input to `boed fit` and `boed generate`: one line, and nothing is written or begun."""

from pathlib import Path

import pytest
from cli_tiny import assert_refused, call
from PIL import Image

Case = tuple[list[str], tuple[str, ...]]  # arguments, and what the refusal names: the value, what to do

NO_LABEL = ("entropy or information", "carry no label", "found cross-entropy", "--score entropy")
BAD: list[Case] = [
    (["--dataset", "letters"], ("a data set of digits, mnist", "'letters'")),
    (["--dataset", "celebahq"], ("CelebAMask-HQ-attribute-anno.txt", "none given", "--data-root")),
    (
        ["--dataset", "celebahq", "--data-root", "nowhere"],
        ("CelebA-HQ-img", "no folder nowhere", "--data-root"),
    ),
    (
        ["--dataset", "folder", "--data-root", "nowhere"],
        ("train/CLASS/*.jpg", "no folder nowhere", "folder above"),
    ),
    (["--dataset", "mnist", "--data-root", "."], ("MNIST/raw", "none of them", "--data-root")),
    (["--data-root", "."], ("no data root for digits", "found .;")),
    (["--attribute", "Male"], ("no attribute for digits", "'Male'", "celebahq")),
    (["--canvas", "60"], ("no canvas for digits", "found 60", "cluttered-mnist")),
    (["--glimpses", "0"], ("glimpses of at least 1", "found 0")),
    (["--glimpse-size", "41"], ("1 to 40 pixels", "found 41", "smaller glimpse")),
    (["--glimpse-size", "0"], ("at least 2 pixels", "found 0", "--glimpse-size")),
    (["--scales", "0"], ("at least 1 scale", "found 0")),
    (["--iterations", "0"], ("iterations of at least 1", "found 0")),
    (["--places", "0"], ("places of at least 1", "found 0")),
    (["--seed", "-1"], ("seed of at least 0", "found -1")),
    (["--device", "abacus"], ("device auto, cpu or cuda", "'abacus'")),
    (["--width", "0"], ("width of at least 1", "found 0")),
    (["--resolution", "0"], ("resolution of at least 1", "found 0")),
    (["--backbone", "resnet7"], ("--backbone", "'resnet7'", "densenet121")),
    (["--posterior", "oracle"], ("--posterior", "'oracle'", "glimpse-set")),
    (["--posterior", "exact"], ("finite for what is exact", "found digits", "--dataset finite")),
    (["--completion", "exact"], ("finite for what is exact", "found digits", "--dataset finite")),
    (["--completion", "bilinear"], ("--completion", "'bilinear'", "retrieval")),
    (["--completion", "cvae", "--score", "cross-entropy"], ("for cvae", *NO_LABEL)),
    (["--completion", "gaussian", "--score", "cross-entropy"], ("for gaussian", *NO_LABEL)),
    (["--completion", "proposals", "--score", "cross-entropy"], ("for proposals", *NO_LABEL)),
    (
        ["--completion", "proposals", "--bank", "nowhere"],
        ("images for the bank", "no folder nowhere", "--bank"),
    ),
    (
        ["--completion", "proposals", "--bank", "."],
        (".webp) in .", "found none", "--bank"),
    ),
    (["--completion", "cvae", "--estimator", "amortised"], ("no completion for amortised", "found cvae")),
    (["--estimator", "amortised", "--score", "information"], ("for amortised", "found information")),
    (["--score", "accuracy"], ("--score", "'accuracy'", "cross-entropy")),
]
BAD_SEARCHES: list[Case] = [
    (["--search", "exhaustive"], ("--search", "'exhaustive'", "lookahead")),
    (["--search", "beam", "--estimator", "amortised"], ("--search greedy", "amortised", "found beam")),
    (
        ["--search", "lookahead", "--score", "information"],
        ("--search greedy", "score information", "found lookahead"),
    ),
    (["--search", "beam", "--coarse"], ("--search greedy with --coarse", "found beam")),
    (["--completions", "0"], ("--completions", "0 is not in the range")),
    (["--memory-gb", "-1"], ("--memory-gb", "-1.0 is not in the range")),
    (["--source", "oracle"], ("--source", "'oracle'", "fixed-order")),
]


def label(value: object) -> str:
    """Of a case: its arguments."""
    return "-".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize("command", ["fit", "generate"])
@pytest.mark.parametrize(("arguments", "words"), BAD, ids=label)
def test_bad_input_gets_one_line_and_writes_nothing(
    command: str,
    arguments: list[str],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call(command, *arguments), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "words"), BAD_SEARCHES, ids=label)
def test_an_impossible_search_is_refused_before_the_fit(
    arguments: list[str], words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = "boed.fitting.fit.fit"
    monkeypatch.setattr(begun, lambda *_, **__: pytest.fail("a fit was begun"))
    assert_refused(call("generate", *arguments), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "generate"])
@pytest.mark.parametrize("completion", [None, "retrieval", "cvae", "gaussian"])
def test_a_bank_serves_proposals_alone(
    command: str, completion: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder could serve: it has an image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank").mkdir()
    Image.new("L", (64, 64)).save(tmp_path / "bank" / "a.png")
    words = (
        f"no bank for the completion {completion or 'retrieval'}",
        "/bank; add --completion proposals",
    )
    options = [] if completion is None else ["--completion", completion]
    assert_refused(call(command, "--bank", "bank", *options), *words)
    assert [file.name for file in tmp_path.iterdir()] == ["bank"]


@pytest.mark.parametrize(
    ("images", "words"),
    [("0", "found 0"), *((text, f"found '{text}'") for text in ("-1", "abc", "1.5", "", "²"))],
)
def test_impossible_numbers_of_images(
    images: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call("generate", f"--images={images}"), "images", words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_attribute_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "faces" / "CelebA-HQ-img"
    images.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(images / "2000.jpg")
    text = "1\nMale Young\n2000.jpg  1 -1\n"
    (tmp_path / "faces" / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    options = ["--dataset", "celebahq", "--data-root", "faces", "--attribute", "Sleepy"]
    assert_refused(call("generate", *options), "attributes Male, Young", "'Sleepy'")
    assert [file.name for file in tmp_path.iterdir()] == ["faces"]
