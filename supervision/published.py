"""Published glimpse sequences, as their authors wrote them, brought into a store.

Harvey, Teng and Wood (arXiv 1906.05462) publish one text file per image, T lines `row, col` of top-left
pixels: `celebhq/ATTRIBUTE/IMAGE.txt` for CelebA-HQ, where ATTRIBUTE is a number of `ATTRIBUTES`, and
`birds/N.txt` for birds (CUB-200-2011), where one more line names the image, `.../K.png`: K is its number in
CUB's images.txt.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from data.dataset import DataSet
from data.errors import DataError, SettingsError
from data.geometry import Geometry
from data.places import places_at
from data.sequences import Sequences
from data.unpacking import DAMAGE, unpacked
from supervision.choices import SPLITS
from supervision.store import SequenceStore, filling

_NAMES = """
5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs Big_Lips Big_Nose Black_Hair Blond_Hair
Blurry Brown_Hair Bushy_Eyebrows Chubby Double_Chin Eyeglasses Goatee Gray_Hair Heavy_Makeup High_Cheekbones
Male Mouth_Slightly_Open Mustache Narrow_Eyes No_Beard Oval_Face Pale_Skin Pointy_Nose Receding_Hairline
Rosy_Cheeks Sideburns Smiling Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick
Wearing_Necklace Wearing_Necktie Young
"""
ATTRIBUTES = tuple(_NAMES.split())
"""The attributes of CelebA-HQ; a folder of sequences has an attribute's place in this list as its name."""

GEOMETRIES = {
    "celebahq": Geometry(224, 224, 3, glimpse_size=16, per_axis=50, last_excluded=True),
    "birds": Geometry(128, 128, 3, glimpse_size=32, per_axis=13),
}
DATA_SETS = {"celebahq": "celebahq", "birds": "cub"}
"""Names of sequences -> those of the data sets whose images they are for."""
DESIGN = SPLITS[0]
_PLACE = re.compile(r" *([0-9]{1,6}) *, *([0-9]{1,6}) *")
_IMAGE = re.compile(r"(?:.*/)?([0-9]{1,9})\.(?:png|jpg)\s*")
LARGEST, LONGEST_TEXT = 1 << 28, 1 << 20  # bytes of an archive, unpacked, and of one of its files
_END = bytes(2 * tarfile.BLOCKSIZE)  # every whole tar archive ends with so many zeros


@dataclass(frozen=True)
class PublishedSequences:
    """Sequences of N images.

    Attributes:
        ids: (N,) int64 image ids, increasing.
        locations: (N, T, 2) int64 top-left pixels, as in the files.
    """

    ids: Tensor
    locations: Tensor


def read_published(path: Path, attribute: int | None = None) -> PublishedSequences:
    """The sequences of one attribute of CelebA-HQ, or of the birds, in a .tar.gz, a .tar or a folder.

    Args:
        attribute: the place of the attribute in `ATTRIBUTES`; None for the birds.

    Raises:
        DataError: no such file or folder, a damaged archive, no sequences of the attribute, a line that is
            no location, sequences of different lengths, or two sequences of one image.
    """
    places_of: dict[int, list[tuple[int, int]]] = {}
    for name, text in _texts(path, attribute):
        image, places = parse(name, text, names_image=attribute is None)
        if image in places_of:
            raise DataError(
                f"expected one sequence of image {image} in {path}, found another in {name}; remove one"
            )
        if places_of and len(places) != len(first := next(iter(places_of.values()))):
            raise DataError(
                f"expected {len(first)} glimpses in every file of {path}, found {len(places)} in {name}; "
                "fetch it again"
            )
        places_of[image] = places
    if not places_of:
        wanted = "birds/N.txt" if attribute is None else f"celebhq/{attribute}/N.txt"
        raise DataError(f"expected sequences {wanted} in {path}, found none; fetch it again")
    ids = sorted(places_of)
    return PublishedSequences(torch.tensor(ids), torch.tensor([places_of[image] for image in ids]))


def parse(name: str, text: str, *, names_image: bool) -> tuple[int, list[tuple[int, int]]]:
    """Image id and locations of one file; DataError for a line that is something else.

    Args:
        name: of the file; its stem is the id, unless the last line names the image.

    >>> parse("celebhq/0/7.txt", "147, 126\\n92, 118\\n", names_image=False)
    (7, [(147, 126), (92, 118)])
    >>> parse("birds/0.txt", "40, 48\\ndata/birds/train/images/12.png", names_image=True)
    (12, [(40, 48)])
    """
    lines = text.splitlines()
    image = _IMAGE.fullmatch(lines.pop() if lines else "") if names_image else None
    if names_image and image is None:
        raise DataError(f"expected a last line .../NUMBER.png in {name}, found none; fetch it again")
    matches = [_PLACE.fullmatch(line) for line in lines]
    for line, match in zip(lines, matches, strict=True):
        if match is None:
            raise DataError(f"expected lines 'row, col' in {name}, found {line[:60]!r}; fetch it again")
    if not lines:
        raise DataError(f"expected lines 'row, col' in {name}, found none; fetch it again")
    places = [(int(match[1]), int(match[2])) for match in matches if match]
    return int(image[1] if image else PurePosixPath(name).stem), places


def import_published(
    path: Path,
    out: Path,
    *,
    attribute: str | None = None,
    dataset: DataSet | None = None,
    split: str = DESIGN,
    origin: dict[str, Any] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> SequenceStore:
    """Reads published sequences into the store `out`, with neither scores nor maps; returns the store.

    Args:
        attribute: of CelebA-HQ, by name; None for the birds.
        dataset: celebahq, or cub for the birds. Images of its split must have the sequences, and the store
            gets their fingerprint, so that it can be trained on and compared; sequences of images that are
            not there are left out. Without a data set the fingerprint is null.
        split: design or train.
        origin: how the data set was opened.
        say: is told how many sequences were left out.

    Raises:
        DataError: see `read_published`; or a location is off the grid, or none of the images is there.
        SettingsError: an unknown attribute, or a data set of another task.
        StoreError: `out` is there with other settings, or damaged.
    """
    name, target = "birds" if attribute is None else "celebahq", attribute or "label"
    geometry = GEOMETRIES[name]
    number = None if attribute is None else attribute_number(attribute)
    if dataset is not None:
        _require_task(dataset, DATA_SETS[name], target, geometry)
    published = read_published(path, number)
    _require_on_grid(published, geometry, path)
    settings = {
        "dataset": name if dataset is None else dataset.name,
        "target": target,
        "fingerprint": dataset and dataset[split].fingerprint,
        "geometry": geometry.to_json(),
        "design": {"source": "published"},
        "sequences": _digest(published),
    }
    kept = published if dataset is None else _of_images(published, dataset[split].ids, path, split)
    if len(kept.ids) < len(published.ids):
        say(
            f"left out {len(published.ids) - len(kept.ids)} of {len(published.ids)} sequences, of images "
            f"that are not in the {split} split"
        )
    steps, nowhere = kept.locations.shape[1], torch.zeros(0, 3, dtype=torch.int64)
    with filling(out):
        store = SequenceStore.write_to(out, settings, kept.ids, steps, nowhere, origin=origin)
        rows = store.pending()
        corners = kept.locations[torch.searchsorted(kept.ids, store.ids[rows])]
        store.write(rows, Sequences.unscored(places_at(corners, geometry.glimpse_size)))
    return store


def _require_task(dataset: DataSet, name: str, target: str, geometry: Geometry) -> None:
    """Raises SettingsError for a data set, or a size of its images, that the sequences were not made for."""
    if (dataset.name, dataset.target) != (name, target):
        raise SettingsError(
            f"expected images of {name} {target}, found {dataset.name} {dataset.target}; "
            "open the data set of the sequences"
        )
    if dataset.geometry.image_size != geometry.image_size:
        wanted, found = (f"{one.height} x {one.width}" for one in (geometry, dataset.geometry))
        raise SettingsError(f"expected images of {wanted}, found {found}; open the data set at that size")


def _digest(published: PublishedSequences) -> str:
    """Hash of what was read, so that a store is not taken up with other sequences."""
    parts = (published.ids, published.locations)
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def attribute_number(name: str) -> int:
    """Place of an attribute in `ATTRIBUTES`; SettingsError for one that is not there.

    >>> attribute_number("Male"), attribute_number("Young")
    (20, 39)
    """
    if name not in ATTRIBUTES:
        raise SettingsError(f"expected one of the attributes {', '.join(ATTRIBUTES)}; found {name!r}")
    return ATTRIBUTES.index(name)


def _texts(path: Path, attribute: int | None) -> Iterator[tuple[str, str]]:
    """Names and contents of the files of this attribute, or of the birds."""
    for name, content in _folder_files(path) if path.is_dir() else _archive_files(path):
        parent = PurePosixPath(name).parent.name
        if parent == str(attribute) if attribute is not None else not parent.isdecimal():
            yield name, content().decode("ascii", errors="replace")


def _folder_files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for file in sorted(path.rglob("*.txt")):
        if file.is_file() and _numbered(file.name):
            _require_text(file.as_posix(), file.stat().st_size)
            yield file.as_posix(), file.read_bytes


def _archive_files(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(fileobj=io.BytesIO(_whole(path)), mode="r:") as archive:
        for member in archive:
            if member.isfile() and _numbered(PurePosixPath(member.name).name):
                _require_text(member.name, member.size)
                file = archive.extractfile(member)
                yield member.name, file.read if file else bytes


def _require_text(name: str, size: int) -> None:
    """Raises DataError for a file that no sequence fills; in an archive a size may be made of holes."""
    if size > LONGEST_TEXT:
        raise DataError(f"expected lines 'row, col' in {name}, found {size:,} bytes; fetch it again")


def _whole(path: Path) -> bytes | bytearray:
    """The bytes of a tar archive, unpacked; DataError unless it is whole."""
    if not path.is_file():
        raise DataError(f"expected published sequences at {path}, found none; give a .tar.gz or a folder")
    try:
        content = unpacked(path, LARGEST) if _is_packed(path) else path.read_bytes()
        if not content.endswith(_END):  # of an archive cut between two files tarfile says nothing
            raise EOFError("its end is missing")
        tarfile.open(fileobj=io.BytesIO(content), mode="r:").close()
    except (*DAMAGE, ValueError, tarfile.TarError) as error:
        raise DataError(
            f"expected a .tar.gz, a .tar or a folder of sequences, found {path} damaged or of another kind "
            f"({error}); fetch it again"
        ) from None
    return content


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _numbered(name: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}\.txt", name) is not None


def _require_on_grid(published: PublishedSequences, geometry: Geometry, path: Path) -> None:
    grid = geometry.grid().parts[0]
    on_grid = torch.isin(published.locations[..., 0], torch.tensor(grid.rows))
    on_grid &= torch.isin(published.locations[..., 1], torch.tensor(grid.cols))
    if not bool(on_grid.all()):
        row, step = (~on_grid).nonzero()[0].tolist()
        place, image = published.locations[row, step].tolist(), int(published.ids[row])
        raise DataError(
            f"expected locations on the {len(grid.rows)} x {len(grid.cols)} grid in {path}, found "
            f"{place} as glimpse {step + 1} of image {image}; "
            "name the data set that the sequences were made for"
        )


def _of_images(published: PublishedSequences, ids: Tensor, path: Path, split: str) -> PublishedSequences:
    """The sequences of the images that are there."""
    here = torch.isin(published.ids, ids.cpu())
    if not bool(here.any()):
        raise DataError(
            f"expected {split} images with a sequence in {path}, found none of its {len(here)}; "
            "use another --data-root or --split, or none"
        )
    return PublishedSequences(published.ids[here], published.locations[here])
