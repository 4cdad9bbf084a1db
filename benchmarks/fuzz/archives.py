"""Archives for `benchmarks.fuzz`: members that lead out of the folder, and files that unpack to gigabytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import Any

from hypothesis import strategies as st

from benchmarks.fuzz.bytes import Input, Strategy, damaged, made_up
from benchmarks.fuzz.text import text_inputs

BOMB = 1 << 33  # bytes that a sparse file claims to have


def gzip_inputs(whole: bytes, *, large: bool = True) -> Strategy:
    """What is packed, changed and packed again; bombs; and raw bytes."""
    inner = gzip.decompress(whole)
    again = damaged(inner).map(lambda made: Input(packed(made.content), f"packed, {made.how}", sealed=True))
    twice = st.just(Input(whole + packed(b"more"), "two members"))
    bombs = st.builds(gzip_bomb, st.just(inner[:16])) if large else st.nothing()
    return again | damaged(whole) | made_up((b"\x1f\x8b\x08\0",)) | twice | bombs


def packed(content: bytes) -> bytes:
    """Gzipped, the same whenever that is done."""
    return gzip.compress(content, 1, mtime=0)


def gzip_bomb(start: bytes, size: int = 1 << 31) -> Input:
    """A few megabytes that unpack to thousands, after a whole beginning."""
    block = 1 << 24
    return Input(packed(start) + packed(bytes(block)) * (size // block), "bomb", sealed=True)


def tar_inputs(whole: bytes, *, large: bool = True) -> Strategy:
    """An archive with a member that is another, or leads out of its folder; bombs; and raw bytes."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive if m.isfile()]  # type: ignore[union-attr]
    rebuilt = st.sampled_from(MEMBERS).map(lambda how: Input(_tar(members, how), how, sealed=True))
    texts = st.sampled_from(members).flatmap(
        lambda member: text_inputs(member[1]).map(
            lambda made: Input(
                _tar([(n, made.content if n == member[0] else t) for n, t in members], ""),
                made.how,
                sealed=True,
            )
        )
    )
    zipped = whole.startswith(b"\x1f\x8b")
    raw = whole if zipped else packed(whole)
    return rebuilt | texts | gzip_inputs(raw, large=large) | damaged(whole)


MEMBERS = (
    *(
        "out of the folder",
        "absolute",
        "symbolic link",
        "hard link",
        "device",
        "fifo",
        "sparse bomb",
        "twice",
    ),
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
    archive.fileobj.write(bytes(header))
    archive.offset += len(header)
