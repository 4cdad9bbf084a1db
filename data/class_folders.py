"""What lies in folders named by class: image files, and all that is left out.

The data set of such folders is `data.folder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import DataError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
)
FEW = 5  # names in a note


def class_folders(top: Path) -> tuple[str, ...]:
    """Sorted names of the folders in one; raises DataError for none."""
    names = sorted(entry.name for entry in top.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not names:
        raise DataError(f"expected one folder per class in {top}, found none; put photographs there")
    return tuple(names)


@dataclass(frozen=True)
class Listing:
    """What the class folders of train/ or val/ hold.

    Attributes:
        images: sorted "CLASS/file"; names with a leading dot are no images.
        others: how many files of each other suffix.
        hidden: files with a leading dot.
        folders: inside of class folders.
    """

    images: list[str]
    others: Counter[str]
    hidden: int
    folders: int

    @classmethod
    def of(cls, top: Path, classes: Sequence[str] | None = None) -> Listing:
        """Reads names alone, of these classes or of all."""
        images, others, hidden, folders = list[str](), Counter[str](), 0, 0
        for name in (each for each in class_folders(top) if classes is None or each in classes):
            for entry in (top / name).iterdir():
                if entry.name[0] == ".":
                    hidden += 1
                elif entry.is_dir():
                    folders += 1
                elif entry.suffix.lower() in SUFFIXES:
                    images.append(f"{name}/{entry.name}")
                else:
                    others[entry.suffix.lower() or "no suffix"] += 1
        return cls(sorted(images), others, hidden, folders)

    @property
    def classes(self) -> set[str]:
        """Those with an image."""
        return {name.split("/")[0] for name in self.images}

    def told(self, classes: Sequence[str]) -> str:
        """What was left out, and which of the classes have no image; "" if nothing."""
        missing = sorted(set(classes) - self.classes)
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in self.others.most_common(FEW))
        parts = [
            f"{self.others.total()} files left out that are no images ({kinds})" if self.others else "",
            f"{self.hidden} hidden files left out" if self.hidden else "",
            f"{self.folders} folders inside of class folders left out" if self.folders else "",
            f"no image of {len(missing)} classes ({', '.join(missing[:FEW])})" if missing else "",
        ]
        return ", ".join(part for part in parts if part)
