"""Inputs for `benchmarks.fuzz` that know their format: fields replaced, checksums right again, and bombs."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import h5py
import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from benchmarks.fuzz_bytes import Input, damaged, made_up
from data.tensors import digest_of

DEEP = 100_000  # brackets within one another
BOMB = 1 << 33  # bytes that a small file claims to hold
WORDS = (
    *("", "-1", "0", "1", "2", "1.5", "nan", "inf", "-inf", "1e999", "99999999999999999999", "9" * 5000, "٣"),
    *("\0", "é", "\ud800", "../../outside/victim", "/etc/hostname", "a" * 5000, "0x10", "1_0", "1,2", "$x_1$"),
    *("true", "[]", "\u2028", "-0", "+1", "1.jpg", "../1.jpg", "0.5", "\x1b[31m", "null", "2e9", "300"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 1.5, 1e308, 10**30, 2**63, float("nan"), float("inf"), "", "x", "a" * 5000),
    *([], {}, [[]], [None], [1, 2], ["x"], {"x": 1}, "../../outside/victim", "$x$", "\ud800", -0.5, 100_000, 2**31),
)

Strategy = st.SearchStrategy[Input]


def _sealed(contents: st.SearchStrategy[bytes], how: str) -> Strategy:
    return contents.map(lambda content: Input(content, how, sealed=True))


def text_inputs(whole: bytes) -> Strategy:
    """Lines of words: of these one is replaced, a line is left out, told twice or moved; and raw bytes."""
    lines = whole.decode().split("\n")
    return _sealed(_words(lines), "word") | _sealed(_lines(lines), "line") | damaged(whole) | made_up(())


def _words(lines: list[str]) -> st.SearchStrategy[bytes]:
    spots = [
        (row, at) for row, line in enumerate(lines[:200]) for at in range(len(line.split(" ")))
    ]

    def replace(found: tuple[tuple[int, int], str]) -> bytes:
        (row, at), word = found
        words = lines[row].split(" ")
        words[at] = word
        changed = [*lines[:row], " ".join(words), *lines[row + 1 :]]
        return "\n".join(changed).encode(errors="surrogatepass")

    return st.tuples(st.sampled_from(spots), st.sampled_from(WORDS) | st.text(max_size=20)).map(replace)


def _lines(lines: list[str]) -> st.SearchStrategy[bytes]:
    def change(found: tuple[int, int, str]) -> bytes:
        row, other, how = found
        line = lines[row]
        rest = [*lines[:row], *lines[row + 1 :]]
        changed = {
            "without": rest,
            "twice": [*lines[:row], line, *lines[row:]],
            "moved": [*rest[:other], line, *rest[other:]],
            "commas": [each.replace(" ", ",") for each in lines],
            "windows": [f"{each}\r" for each in lines],
        }[how]
        return "\n".join(changed).encode()

    place = st.integers(0, len(lines) - 1)
    hows = st.sampled_from(["without", "twice", "moved", "commas", "windows"])
    return st.tuples(place, place, hows).map(change)


def json_inputs(whole: bytes) -> Strategy:
    """A JSON object (or lines of such) with a value replaced, left out or renamed; too deep; and raw bytes."""
    *_, first = [line for line in whole.decode().split("\n") if line] if whole.count(b"\n{") else [whole.decode()]
    rest = whole.decode().removesuffix("\n").removesuffix(first)
    changed = replaced(json.loads(first)).map(lambda value: (rest + json.dumps(value) + "\n").encode())
    deep = st.sampled_from([b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP])
    return _sealed(changed, "field") | _sealed(deep, "deep") | damaged(whole) | made_up((b"{", b"[", b'{"'))


def replaced(value: Any) -> st.SearchStrategy[Any]:
    """JSON with one value changed, left out or under another name."""
    paths = list(_paths(value, ()))
    if not paths:
        return st.sampled_from(VALUES)

    def change(found: tuple[tuple[Any, ...], Any, str]) -> Any:
        path, new, how = found
        changed = deepcopy(value)
        owner = changed
        for step in path[:-1]:
            owner = owner[step]
        if how == "without":
            del owner[path[-1]]
        elif how == "renamed" and isinstance(owner, dict):
            owner[f"{path[-1]}_"] = owner.pop(path[-1])
        else:
            owner[path[-1]] = new
        return changed

    hows = st.sampled_from(["new", "new", "new", "without", "renamed"])
    return st.tuples(st.sampled_from(paths), st.sampled_from(VALUES), hows).map(change)


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from _paths(inner, (*path, step))


def toml_inputs(whole: bytes) -> Strategy:
    """Lines of TOML with words replaced; too deep; and raw bytes."""
    deep = st.sampled_from([b"a = " + b"[" * DEEP, b"a = " + b"{a=" * DEEP, b"a." * DEEP + b"a = 1"])
    values = st.sampled_from(["[1]", "{}", "1979-05-27", "true", "1e999", "nan", "'''\n'''", "-1", '"\\u0000"'])
    line = st.tuples(st.sampled_from(whole.decode().splitlines()), values)
    keyed = line.map(lambda found: whole + f"\n{found[0].partition('=')[0]}= {found[1]}\n".encode())
    names = whole.decode().splitlines()
    other = st.tuples(st.sampled_from(range(len(names))), values).map(
        lambda found: "\n".join(
            f"{line.partition('=')[0]}= {found[1]}" if row == found[0] and "=" in line else line
            for row, line in enumerate(names)
        ).encode()
    )
    fields = _sealed(keyed, "field twice") | _sealed(other, "field")
    return fields | _sealed(deep, "deep") | text_inputs(whole)


def safetensors_inputs(whole: bytes) -> Strategy:
    """What is noted with tensors, or a tensor, replaced, with and without a right digest; and raw bytes."""
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    about = json.loads(header["__metadata__"]["about"])
    tensors = load(whole)

    def resealed(new: Any) -> bytes:
        noted = json.dumps(new)
        return save(tensors, {"about": noted, "digest": digest_of(tensors, noted)})

    def with_header(new: Any) -> bytes:
        text = json.dumps(new).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + size :]

    deep = st.just(save(tensors, {"about": "[" * DEEP, "digest": digest_of(tensors, "[" * DEEP)}))
    sizes = st.sampled_from([0, 2**31, 2**62, 2**64 - 1]).map(lambda n: struct.pack("<Q", n) + whole[8:])
    return (
        _sealed(replaced(about).map(resealed), "about")
        | _sealed(deep, "deep")
        | _unsealed(replaced(header).map(with_header), "header")
        | _unsealed(sizes, "size")
        | _tensors(tensors, json.dumps(about))
        | damaged(whole)
        | made_up((struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 40)))
    )


def _unsealed(contents: st.SearchStrategy[bytes], how: str) -> Strategy:
    return contents.map(lambda content: Input(content, how))


def _tensors(tensors: dict[str, Tensor], noted: str) -> Strategy:
    """One of the tensors is another or gone; with a right digest, or with that of the whole ones."""

    def change(found: tuple[str, str, bool]) -> Input:
        name, how, right = found
        other = dict(tensors)
        del other[name]
        if how != "gone":
            other[name] = TENSORS[how](tensors[name]).contiguous()
        digest = digest_of(other if right else tensors, noted)
        return Input(save(other, {"about": noted, "digest": digest}), f"tensor, {how}", sealed=right)

    triple = st.tuples(st.sampled_from(sorted(tensors)), st.sampled_from(["gone", *TENSORS]), st.booleans())
    return triple.map(change)


TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda tensor: torch.full_like(tensor, torch.nan if tensor.is_floating_point() else 0),
    "infinite": lambda tensor: torch.full_like(tensor, torch.inf if tensor.is_floating_point() else 1),
    "large": lambda tensor: torch.full_like(tensor, 1e38 if tensor.is_floating_point() else 100),
    "flat": lambda tensor: tensor.reshape(-1),
    "shorter": lambda tensor: tensor[:-1] if tensor.ndim else tensor.reshape(1),
    "double": lambda tensor: tensor.double(),
    "whole numbers": lambda tensor: tensor.long(),
    "empty": lambda tensor: tensor.reshape(-1)[:0],
    "negative": lambda tensor: -tensor - 1 if tensor.dtype != torch.uint8 else tensor // 2,
}


def hdf5_inputs(whole: bytes, victim: str) -> Strategy:
    """A store with a data set or an attribute replaced; links out of the file; bombs; and raw bytes.

    Args:
        victim: another HDF5 file, that nobody may write into.
    """
    with h5py.File(io.BytesIO(whole), "r") as file:
        names, attributes = list(file), list(file.attrs)
        objects = {name: json.loads(file.attrs[name]) for name in ("settings", "origin")}

    def edited(edit: Callable[[h5py.File], None]) -> Input:
        buffer = io.BytesIO(whole)
        with h5py.File(buffer, "r+") as file:
            edit(file)
        return Input(buffer.getvalue(), "field", sealed=True)

    def array(name: str, how: str) -> Callable[[h5py.File], None]:
        def edit(file: h5py.File) -> None:
            _replace(file, name, how, victim)

        return edit

    def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
        def edit(file: h5py.File) -> None:
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value

        return edit

    values = st.sampled_from([None, 0, 1, -1, 3.5, float("nan"), "", "{}", "[]", "null", "[" * DEEP, b"\xff", [1]])
    told = {name: replaced(value).map(json.dumps) for name, value in objects.items()}
    return (
        st.builds(array, st.sampled_from(names), st.sampled_from(ARRAYS)).map(edited)
        | st.builds(attribute, st.sampled_from(attributes), values).map(edited)
        | st.builds(attribute, st.just("settings"), told["settings"]).map(edited)
        | st.builds(attribute, st.just("origin"), told["origin"]).map(edited)
        | damaged(whole)
        | made_up((b"\x89HDF\r\n\x1a\n",))
    )


ARRAYS = (
    *("gone", "float", "text", "shorter", "longer", "flat", "group", "nan", "negative", "far", "bomb", "empty"),
    *("external link", "soft link", "external data", "virtual", "compound", "scalar", "int64", "unsorted"),
)


def _replace(file: h5py.File, name: str, how: str, victim: str) -> None:
    """Another data set in place of this one."""
    old = file[name][()]
    del file[name]
    if how == "external link":
        file[name] = h5py.ExternalLink(victim, name)
    elif how == "soft link":
        file[name] = h5py.SoftLink(f"/{name}")
    elif how == "external data":
        shape, kind = old.shape, old.dtype
        file.create_dataset(name, shape, kind, external=[(victim, 0, h5py.h5f.UNLIMITED)])
    elif how == "virtual":
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        if old.size:
            layout[...] = h5py.VirtualSource(victim, name, old.shape)
        file.create_virtual_dataset(name, layout)
    elif how == "bomb":
        shape = (BOMB // max(1, old.itemsize), *old.shape[1:])
        file.create_dataset(name, shape, old.dtype, chunks=True)
    elif how == "group":
        file.create_group(name)
    elif how != "gone":
        file[name] = _other(old, how)


def _other(old: np.ndarray, how: str) -> Any:
    plain = np.asarray(old)
    with np.errstate(all="ignore"):
        return {
            "float": lambda: plain.astype(float) + 0.5,
            "text": lambda: np.full(plain.shape, b"x", "S3"),
            "shorter": lambda: plain[:-1],
            "longer": lambda: np.concatenate([plain, plain]),
            "flat": lambda: plain.reshape(-1),
            "nan": lambda: np.full(plain.shape, np.nan, np.float32),
            "negative": lambda: -1 - plain.astype(np.int64),
            "far": lambda: plain.astype(np.int64) + 30_000,
            "empty": lambda: plain[:0],
            "compound": lambda: np.zeros(plain.shape, [("a", "i4"), ("b", "f4")]),
            "scalar": lambda: np.float32(1),
            "int64": lambda: plain.astype(np.int64) + 2**40,
            "unsorted": lambda: plain[::-1].copy(),
        }[how]()


def gzip_inputs(whole: bytes) -> Strategy:
    """What is packed, changed and packed again; bombs; and raw bytes."""
    inner = gzip.decompress(whole)
    again = damaged(inner).map(lambda made: Input(packed(made.content), f"packed, {made.how}", sealed=True))
    twice = st.just(Input(whole + packed(b"more"), "two members"))
    return again | damaged(whole) | made_up((b"\x1f\x8b\x08\0",)) | twice | st.builds(gzip_bomb, st.just(inner[:16]))


def packed(content: bytes) -> bytes:
    """Gzipped, the same whenever that is done."""
    return gzip.compress(content, 1, mtime=0)


def gzip_bomb(start: bytes, size: int = 1 << 31) -> Input:
    """A few megabytes that unpack to thousands, after a whole beginning."""
    block = 1 << 24
    return Input(packed(start) + packed(bytes(block)) * (size // block), "bomb", sealed=True)


def tar_inputs(whole: bytes) -> Strategy:
    """An archive with a member that is another, or leads out of its folder; bombs; and raw bytes."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive if m.isfile()]  # type: ignore[union-attr]
    rebuilt = st.sampled_from(MEMBERS).map(lambda how: Input(_tar(members, how), how, sealed=True))
    texts = st.sampled_from(members).flatmap(
        lambda member: text_inputs(member[1]).map(
            lambda made: Input(
                _tar([(n, made.content if n == member[0] else t) for n, t in members], ""), made.how, sealed=True
            )
        )
    )
    zipped = whole.startswith(b"\x1f\x8b")
    raw = whole if zipped else packed(whole)
    return rebuilt | texts | gzip_inputs(raw) | damaged(whole)


MEMBERS = (
    *("out of the folder", "absolute", "symbolic link", "hard link", "device", "fifo", "sparse bomb", "twice"),
    *("no name", "other folder", "large", "folder", "not UTF-8", "pax bomb"),
)


def _tar(members: list[tuple[str, bytes]], how: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members:
            _add(archive, name, content)
        if how:
            _add_other(archive, members[0], how)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def _add_other(archive: tarfile.TarFile, first: tuple[str, bytes], how: str) -> None:
    name, content = first
    folder, stem = name.rpartition("/")[0], "999999.txt"
    new = f"{folder}/{stem}"
    links = {"symbolic link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}
    kinds = {"device": tarfile.CHRTYPE, "fifo": tarfile.FIFOTYPE, "folder": tarfile.DIRTYPE}
    if how in links:
        _add(archive, new, b"", type=links[how], linkname="../../outside/victim.txt")
    elif how in kinds:
        _add(archive, new, b"", type=kinds[how])
    elif how == "sparse bomb":
        _add_sparse(archive, new)
    elif how == "large":
        _add(archive, new, content * 200_000)
    elif how == "pax bomb":
        _add(archive, new, content, pax_headers={"comment": "x" * 1_000_000})
    else:
        names = {
            "out of the folder": f"{folder}/../../outside/{folder.rpartition('/')[2]}/{stem}",
            "absolute": f"/tmp/{new}",
            "twice": name,
            "no name": "",
            "other folder": f"elsewhere/{stem}",
            "not UTF-8": f"{folder}/\udcff/{stem}",
        }
        _add(archive, names[how], content)


def _add_sparse(archive: tarfile.TarFile, name: str) -> None:
    """A GNU sparse file whose header tells of gigabytes that are nowhere."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386 : 386 + 24] = b"%011o\0%011o\0" % (BOMB - 512, 0)
    header[483 : 483 + 12] = b"\x80" + (BOMB).to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    archive.fileobj.write(bytes(header))  # type: ignore[union-attr]
    archive.offset += len(header)


def image_inputs(whole: bytes) -> Strategy:
    """The image in another format or mode, one that claims to be huge, bombs; and raw bytes."""
    with Image.open(io.BytesIO(whole)) as image:
        image.load()
        pictures = {how: _encoded(image, *how) for how in FORMATS}
    starts = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"RIFF\0\0\0\0WEBPVP8 ", b"BM", b"GIF89a", b"P6\n")
    others = st.sampled_from(FORMATS).map(
        lambda how: Input(pictures[how], " ".join(how), sealed=True)
    )
    hurt = st.sampled_from(FORMATS).flatmap(
        lambda how: damaged(pictures[how]).map(lambda made: Input(made.content, f"{how[0]}, {made.how}", made.how != "cut"))
    )
    return others | hurt | st.sampled_from(sorted(BOMBS)).map(_bomb) | damaged(whole) | made_up(starts)


FORMATS = (
    *(("PNG", "RGB"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "I;16"), ("PNG", "1"), ("JPEG", "RGB"), ("JPEG", "CMYK")),
    *(("TIFF", "RGB"), ("TIFF", "F"), ("TIFF", "I;16"), ("TIFF", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA")),
    *(("GIF", "P"), ("BMP", "RGB"), ("PPM", "RGB"), ("PPM", "L"), ("ICO", "RGBA"), ("TGA", "RGB"), ("JPEG2000", "RGB")),
)


def _encoded(image: Image.Image, kind: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    image.convert("L" if mode in ("I;16", "F") else mode).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def _bomb(how: str) -> Input:
    return Input(BOMBS[how](), how, sealed=True)


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG with such a header, whatever its data are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(data, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


BOMBS: dict[str, Callable[[], bytes]] = {
    "huge": lambda: png(2**31 - 1, 2**31 - 1),
    "200 megapixels": lambda: png(20_000, 10_000, data=bytes(10_000 * 20_001)),
    "100 megapixels": lambda: png(10_000, 10_000, data=bytes(10_000 * 10_001)),
    "89 megapixels, 16 bits": lambda: png(9_400, 9_400, depth=16, colour=2, data=bytes(9_400)),
    "a line": lambda: png(1, 80_000_000, data=bytes(80_000)),
    "no pixels": lambda: png(0, 0),
    "one pixel": lambda: png(1, 1, data=bytes(2)),
    "flat": lambda: png(20_000, 1, data=bytes(20_001)),
    "ppm": lambda: b"P6\n60000 60000\n255\n" + bytes(1000),
    "bmp": lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0),
}
