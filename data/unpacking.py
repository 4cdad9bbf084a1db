"""What a gzip file holds, as far as it is wanted: a small one may unpack to more than there is memory."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

BLOCK = 1 << 20
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)
"""What unpacking raises of a file that is no gzip, or is cut or changed."""


def unpacked(path: Path, most: int) -> bytearray:
    """The content of a gzip file; raises ValueError for more than `most` bytes, and errors of `DAMAGE`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "zeros.gz")
    ...     _ = path.write_bytes(gzip.compress(bytes(1000)))
    ...     len(unpacked(path, 1000))
    1000
    """
    content = bytearray()
    with gzip.open(path) as file:
        while block := file.read(BLOCK):
            content += block
            if len(content) > most:
                raise ValueError(f"it unpacks to more than {most:,} bytes")
    return content
