"""Files that unpack to more than there is memory, nested too deep, or of which a header promises too much."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from data import decode
from data.celebahq_annotations import read_annotations
from data.decode import decode_square
from data.errors import CheckpointError, DataError, SettingsError, on_one_line
from data.files import parse_json, read_toml
from data.mnist import read_idx
from data.tensors import load_tensors, save_tensors, sizes_of
from data.unpacking import unpacked
from supervision.published import read_published

DEEP = 100_000


def test_unpacking_stops_where_it_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(5000)) + gzip.compress(bytes(5000)))
    assert unpacked(path, 10_000) == bytes(10_000)
    with pytest.raises(ValueError, match="more than 9,999 bytes"):
        unpacked(path, 9_999)


def test_digits_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.mnist.LARGEST", 1000)
    (tmp_path / "t.gz").write_bytes(gzip.compress(bytes(2000)))
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        read_idx(tmp_path / "t.gz")


def test_a_member_of_an_archive_that_claims_to_be_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("celebhq/20/0.txt")
        member.size = 2 << 20
        archive.addfile(member, io.BytesIO(bytes(2 << 20)))
    with pytest.raises(DataError, match="celebhq/20/0.txt, found 2,097,152 bytes"):
        read_published(path, 20)


@pytest.mark.parametrize("size", [(40, 30), (1, 1200)])
def test_images_that_claim_to_be_large_are_refused(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert decode_square(tmp_path / "a.png", 8).shape == (8, 8, 3)
    monkeypatch.setattr(decode, "MOST_PIXELS", 1199)
    monkeypatch.setattr(decode, "LONGEST", 1199)
    with pytest.raises(DataError, match="at most 1,199 pixels"):
        decode_square(tmp_path / "a.png", 8)


def test_a_large_photograph_is_decoded_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (400, 320)).save(tmp_path / "a.jpg")
    monkeypatch.setattr(decode, "MOST_PIXELS", 400 * 320 // 16)
    assert decode_square(tmp_path / "a.jpg", 16).shape == (16, 16, 3)


def test_what_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too deep"):
        parse_json("[" * DEEP)
    for text, words in (("a = " + "[" * 5000, "too deep"), ("a." * DEEP + "a = 1", "200,005 bytes")):
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(SettingsError, match=words):
            read_toml(tmp_path / "a.toml")


def test_a_number_of_thousands_of_digits_is_none(tmp_path: Path) -> None:
    path = tmp_path / "anno.txt"
    for text in ("9" * 5000 + "\nMale\n0.jpg 1\n", "1\nMale\n" + "9" * 20 + ".jpg 1\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="in line"):
            read_annotations(path)


def test_a_long_message_keeps_its_ends() -> None:
    line = on_one_line(f"expected {'x' * 5000}; change it")
    assert len(line) < 1600 and line.startswith("expected") and line.endswith("change it")
    assert on_one_line("x" * 1500) == "x" * 1500


def test_weights_that_have_changed_are_noticed(tmp_path: Path) -> None:
    path, tensors = tmp_path / "w.safetensors", {"a": torch.arange(4.0), "b": torch.tensor(True)}
    save_tensors(path, tensors, {"seed": 3})
    found, about = load_tensors(path, "train")
    assert about == {"seed": 3} and all(torch.equal(found[name], tensors[name]) for name in tensors)
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(CheckpointError, match="checksum"):
        load_tensors(path, "train")
    path.write_bytes(content.replace(b"seed", b"sead"))
    with pytest.raises(CheckpointError, match="checksum"):
        load_tensors(path, "train")


def test_weights_of_older_versions_have_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(2)}, path, {"about": "{}"})
    assert load_tensors(path, "train")[1] == {} and load_file(path)["a"].tolist() == [0, 0]


def test_the_largest_image_takes_no_copies() -> None:
    """Strips are what the whole would be."""
    from data.modes import shown

    levels = np.random.default_rng(0).integers(0, 65536, (600, 3), dtype=np.uint16)
    assert np.array_equal(np.asarray(shown(Image.fromarray(levels), "L")), (levels.astype(int) + 128) // 257)


def test_sizes_that_no_network_has_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"sizes of a network in run\.json"), sizes_of(Path("run.json")):
        torch.nn.Linear(10**30, 1)
