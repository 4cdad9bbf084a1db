"""Images for `benchmarks.fuzz`, in many formats, damaged, and of sizes that no memory holds."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzz.bytes import Input, Strategy, damaged, made_up


def image_inputs(whole: bytes, *, large: bool = True) -> Strategy:
    """The image in another format or mode, one that claims to be huge, bombs; and raw bytes."""
    with Image.open(io.BytesIO(whole)) as image:
        image.load()
        pictures = {how: _encoded(image, *how) for how in FORMATS}
    starts = (
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"II*\0\x08\0\0\0",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM",
        b"GIF89a",
        b"P6\n",
    )
    others = st.sampled_from(FORMATS).map(lambda how: Input(pictures[how], " ".join(how), sealed=True))
    hurt = st.sampled_from(FORMATS).flatmap(
        lambda how: damaged(pictures[how]).map(
            lambda made: Input(made.content, f"{how[0]}, {made.how}", made.how != "cut")
        )
    )
    bombs = st.sampled_from(sorted({**BOMBS, **LARGE} if large else BOMBS)).map(_bomb)
    return others | hurt | bombs | damaged(whole) | made_up(starts)


FORMATS = (
    *(
        ("PNG", "RGB"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "I;16"),
        ("PNG", "1"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
    ),
    *(("TIFF", "RGB"), ("TIFF", "F"), ("TIFF", "I;16"), ("TIFF", "CMYK"), ("WEBP", "RGB"), ("WEBP", "RGBA")),
    *(
        ("GIF", "P"),
        ("BMP", "RGB"),
        ("PPM", "RGB"),
        ("PPM", "L"),
        ("ICO", "RGBA"),
        ("TGA", "RGB"),
        ("JPEG2000", "RGB"),
    ),
)


def _encoded(image: Image.Image, kind: str, mode: str) -> bytes:
    buffer = io.BytesIO()
    image.convert("L" if mode in ("I;16", "F") else mode).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def _bomb(how: str) -> Input:
    return Input({**BOMBS, **LARGE}[how](), how, sealed=True)


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    """A PNG with such a header, whatever its data are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    packed = zlib.compress(data, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


BOMBS: dict[str, Callable[[], bytes]] = {
    "huge": lambda: png(2**31 - 1, 2**31 - 1),
    "no pixels": lambda: png(0, 0),
    "one pixel": lambda: png(1, 1, data=bytes(2)),
    "flat": lambda: png(20_000, 1, data=bytes(20_001)),
    "ppm": lambda: b"P6\n60000 60000\n255\n" + bytes(1000),
    "bmp": lambda: (
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
}

LARGE: dict[str, Callable[[], bytes]] = {
    "200 megapixels": lambda: png(20_000, 10_000, data=bytes(10_000 * 20_001)),
    "100 megapixels": lambda: png(10_000, 10_000, data=bytes(10_000 * 10_001)),
    "89 megapixels, 16 bits": lambda: png(9_400, 9_400, depth=16, colour=2, data=bytes(9_400)),
    "a line": lambda: png(1, 80_000_000, data=bytes(80_000)),
}
"""Of a hundred megabytes and more, unpacked."""
