"""A list of classes in a text file, such as the hundred of ImageNet-100."""

from __future__ import annotations

from pathlib import Path

from data.errors import SettingsError


def read_classes(path: Path) -> tuple[str, ...]:
    """Names of class folders, one a line; empty lines and lines that begin with # are none.

    Raises:
        SettingsError: no file to read, or no name in it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.txt"
    >>> _ = path.write_text("# WordNet ids\\nn01440764\\n\\nn01443537\\n")
    >>> read_classes(path)
    ('n01440764', 'n01443537')
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"expected a text file of class names for --classes, found: {error}; name another"
        ) from None
    names = tuple(line for line in lines if line and line[0] != "#")
    if not names:
        raise SettingsError(f"expected a class name on each line of {path}, found none; write them into it")
    return names
