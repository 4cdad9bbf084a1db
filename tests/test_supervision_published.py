"""Published sequences read from archives and folders, and what is said to those that are not in order."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from data.dataset import DataSet, Split
from data.errors import DataError, SettingsError, StoreError
from data.places import places_at
from data.registry import load
from data.store import ImageStore
from hardattn.training.geometries import geometry_for
from hardattn.training.guidance import guided_images
from supervision.batches import supervised_split
from supervision.published import (
    ATTRIBUTES,
    GEOMETRIES,
    attribute_number,
    import_published,
    parse,
    read_published,
)
from supervision.store import SequenceStore

MALE = attribute_number("Male")
FACES = {
    "celebhq/20/3.txt": "147, 126\n92, 118\n",
    "celebhq/20/0.txt": "147, 126\n76, 160\n",
    "celebhq/20/11.txt": "147, 126\n207, 0\n",
    "celebhq/21/3.txt": "0, 0\n4, 4\n",
    "celebhq/notes.txt": "not of a sequence",
}
BIRDS = {
    "birds/1.txt": "40, 48\n80, 32\n96, 0\ndata/birds/train/images/8.png",
    "birds/0.txt": "40, 48\n40, 64\n40, 64\ndata/birds/train/images/2.png",
}
FACE_IDS, FACE_PLACES = [0, 3, 11], [[[147, 126], [76, 160]], [[147, 126], [92, 118]], [[147, 126], [207, 0]]]


def as_tar(files: Mapping[str, str], path: Path) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def as_folder(files: Mapping[str, str], path: Path) -> Path:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def packed(files: Mapping[str, str], folder: Path, kind: str) -> Path:
    if kind == "folder":
        return as_folder(files, folder / "files")
    return as_tar(files, folder / f"files.{kind}")


def faces(ids: list[int], target: str = "Male") -> DataSet:
    """A data set of blank faces with these design images."""
    count = len(ids)
    store = ImageStore.from_arrays(
        torch.zeros(count, 224, 224, 3, dtype=torch.uint8).numpy(),
        torch.zeros(count, 1, dtype=torch.int64).numpy(),
        torch.tensor(ids).numpy(),
    )
    openers = {"design": lambda: Split.of(store)}
    return DataSet("celebahq", target, ("no", "yes"), GEOMETRIES["celebahq"], 5, openers)


@pytest.mark.parametrize("kind", ["tar.gz", "tar", "folder"])
def test_sequences_are_read_in_order_of_the_images(tmp_path: Path, kind: str) -> None:
    found = read_published(packed(FACES | BIRDS, tmp_path, kind), MALE)
    assert found.ids.tolist() == FACE_IDS
    assert found.locations.tolist() == FACE_PLACES
    assert found.ids.dtype == found.locations.dtype == torch.int64


@pytest.mark.parametrize("kind", ["tar.gz", "folder"])
def test_birds_are_numbered_by_their_image(tmp_path: Path, kind: str) -> None:
    found = read_published(packed(FACES | BIRDS, tmp_path, kind), None)
    assert found.ids.tolist() == [2, 8]
    assert found.locations[1].tolist() == [[40, 48], [80, 32], [96, 0]]


def test_the_folder_of_an_attribute_will_do(tmp_path: Path) -> None:
    folder = as_folder(FACES, tmp_path)
    assert read_published(folder / "celebhq", MALE).ids.tolist() == FACE_IDS
    assert read_published(folder / "celebhq" / "20", MALE).ids.tolist() == FACE_IDS


@pytest.mark.parametrize(
    ("files", "attribute", "words"),
    [
        ({}, MALE, r"expected sequences celebhq/20/N.txt in .*, found none"),
        ({}, None, r"expected sequences birds/N.txt in .*, found none"),
        (BIRDS, MALE, "celebhq/20/N.txt"),
        (FACES, None, "birds/N.txt"),
        (FACES, attribute_number("Bald"), "celebhq/4/N.txt"),
        (FACES | {"celebhq/20/5.txt": "147 126\n0, 0\n"}, MALE, r"'row, col' in .*20/5.txt, found '147 126'"),
        (FACES | {"celebhq/20/5.txt": "147, 126\n-4, 0\n"}, MALE, "found '-4, 0'"),
        (FACES | {"celebhq/20/5.txt": "147, 126\n4.5, 0\n"}, MALE, "found '4.5, 0'"),
        (FACES | {"celebhq/20/5.txt": "147, 126\n\n0, 0\n"}, MALE, "found ''"),
        (FACES | {"celebhq/20/5.txt": "1, 2\n3, 4\nimages/9.png"}, MALE, "found 'images/9.png'"),
        (FACES | {"celebhq/20/5.txt": ""}, MALE, "'row, col' in .*20/5.txt, found none"),
        (
            FACES | {"celebhq/20/5.txt": "147, 126\n"},
            MALE,
            r"expected . glimpses in every file .* found .",
        ),
        (FACES | {"other/20/3.txt": "0, 0\n4, 4\n"}, MALE, "one sequence of image 3"),
        (BIRDS | {"birds/2.txt": "0, 0\n0, 0\n0, 0\n"}, None, "a last line .*NUMBER.png in .*birds/2.txt"),
        (BIRDS | {"birds/2.txt": "images/7.png"}, None, "'row, col' in .*birds/2.txt, found none"),
        (BIRDS | {"birds/2.txt": ""}, None, "a last line"),
    ],
)
@pytest.mark.parametrize("kind", ["tar.gz", "folder"])
def test_what_is_not_in_order_is_refused(
    tmp_path: Path, files: dict[str, str], attribute: int | None, words: str, kind: str
) -> None:
    path = packed(files, tmp_path, kind)
    path.mkdir(exist_ok=True) if kind == "folder" else None
    with pytest.raises(DataError, match=words) as error:
        read_published(path, attribute)
    assert len(str(error.value).splitlines()) == 1 and "expected" in str(error.value)


@pytest.mark.parametrize("kind", ["tar.gz", "tar"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9])
def test_a_cut_archive_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = packed(FACES, tmp_path, kind)
    whole = path.read_bytes()
    end = len(whole) if kind == "tar.gz" else 6 * 1024  # after the last file there are only zeros
    path.write_bytes(whole[: int(share * end)])
    with pytest.raises(DataError, match=r"found .*files\.tar.* damaged or of another kind"):
        read_published(path, MALE)


def test_a_tar_cut_between_two_files_is_refused(tmp_path: Path) -> None:
    path = packed(FACES, tmp_path, "tar")
    path.write_bytes(path.read_bytes()[: 2 * 1024])  # a header and its text for each of two files
    with pytest.raises(DataError, match="its end is missing"):
        read_published(path, MALE)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at .*nowhere\.tar\.gz, found none"):
        read_published(tmp_path / "nowhere.tar.gz", MALE)
    for content in (b"no archive", bytes(range(256)) * 40, b"no archive" + bytes(2000)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(DataError, match="damaged or of another kind"):
            read_published(tmp_path / "other", MALE)


def test_a_store_without_images(tmp_path: Path) -> None:
    out = tmp_path / "made" / "birds.h5"
    import_published(packed(BIRDS, tmp_path, "tar.gz"), out, origin={"name": "birds"})
    store = SequenceStore.read(out)
    found = store.load()
    assert store.ids.tolist() == [2, 8] and bool(store.done.all()) and store.steps == 3
    assert found.locations[0].tolist() == [[40, 48, 32], [40, 64, 32], [40, 64, 32]]
    assert bool(found.epe.isnan().all()) and bool(found.entropy.isnan().all())
    assert store.candidates.shape == (0, 3) and found.epe_map.shape == (2, 3, 0)
    assert store.settings["design"] == {"source": "published"}
    assert store.settings["dataset"] == "birds" and store.settings["target"] == "label"
    assert store.settings["fingerprint"] is None
    assert store.settings["geometry"] == GEOMETRIES["birds"].to_json()
    assert len(GEOMETRIES["birds"].grid()) == 169 and store.origin == {"name": "birds"}


def test_a_store_with_images_is_accepted_where_they_are_used(tmp_path: Path) -> None:
    dataset = faces([0, 1, 3])  # image 11 is not there
    store = import_published(
        packed(FACES, tmp_path, "tar.gz"), tmp_path / "a.h5", attribute="Male", dataset=dataset
    )
    assert store.ids.tolist() == [0, 3]
    store.require({"dataset": "celebahq", "target": "Male", "fingerprint": dataset["design"].fingerprint})
    assert geometry_for(dataset, store, dataset.geometry) == dataset.geometry
    split, locations = supervised_split(store, dataset["design"], 2)
    assert split.ids.tolist() == [0, 3] and locations[..., :2].tolist() == FACE_PLACES[:2]
    assert dataset.geometry.grid().index(locations).shape == (2, 2)


def test_many_sequences_are_imported(tmp_path: Path) -> None:
    files = {f"celebhq/20/{n}.txt": f"147, 126\n{4 * (n % 5)}, 0\n" for n in range(50)}
    store = import_published(packed(files, tmp_path, "tar"), tmp_path / "a.h5", attribute="Male")
    assert store.load().locations[:, 1, 0].tolist() == [4 * (n % 5) for n in range(50)]
    assert bool(SequenceStore.read(tmp_path / "a.h5").done.all())


def test_importing_again_changes_nothing_and_other_sequences_are_refused(tmp_path: Path) -> None:
    path, out = packed(FACES, tmp_path, "tar.gz"), tmp_path / "a.h5"
    import_published(path, out, attribute="Male")
    before = out.read_bytes()
    import_published(path, out, attribute="Male")
    assert out.read_bytes() == before
    with pytest.raises(StoreError, match='target = "Mouth_Slightly_Open", found "Male"'):
        import_published(path, out, attribute="Mouth_Slightly_Open")
    with pytest.raises(StoreError, match="fingerprint = .* found null"):
        import_published(path, out, attribute="Male", dataset=faces([0, 3]))
    path = packed(FACES | {"celebhq/20/3.txt": "147, 126\n4, 4\n"}, tmp_path, "tar.gz")
    with pytest.raises(StoreError, match="sequences = "):
        import_published(path, out, attribute="Male")
    assert out.read_bytes() == before


def test_what_cannot_be_imported_makes_no_store(tmp_path: Path) -> None:
    path, out = packed(FACES, tmp_path, "tar.gz"), tmp_path / "a.h5"
    with pytest.raises(SettingsError, match="Sleepy"):
        import_published(path, out, attribute="Sleepy")
    with pytest.raises(SettingsError, match="images of celebahq Male, found celebahq Young"):
        import_published(path, out, attribute="Male", dataset=faces([0], "Young"))
    with pytest.raises(DataError, match="found none of its 3"):
        import_published(path, out, attribute="Male", dataset=faces([5, 6]))
    path = packed(FACES | {"celebhq/20/7.txt": "147, 126\n92, 119\n"}, tmp_path, "tar.gz")
    with pytest.raises(DataError, match=r"50 x 50 grid .* found \[92, 119\] as glimpse 2 of image 7"):
        import_published(path, out, attribute="Male")
    assert not out.exists()


def test_attributes_are_in_alphabetical_order() -> None:
    assert len(ATTRIBUTES) == 40 and list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert [attribute_number(name) for name in ("5_o_Clock_Shadow", "Male", "Smiling")] == [0, 20, 31]


def test_all_published_faces_parse(real_data: Callable[[str], Path]) -> None:
    archive, places = real_data("published-sequences") / "celebahq.tar.gz", dict[str, dict[int, object]]()
    with tarfile.open(archive) as members:  # once, instead of once for each attribute
        for member in members:
            if member.isfile() and (file := members.extractfile(member)):
                image, found = parse(member.name, file.read().decode(), names_image=False)
                places.setdefault(Path(member.name).parent.name, {})[image] = found
    assert set(places) == {str(number) for number in range(40)}
    assert all(set(of) == set(range(600)) for of in places.values())  # 24,000 in all
    for number in (0, 39):
        read = read_published(archive, number)
        assert read.locations.shape == (600, 5, 2) and len(read.locations[:, 0].unique(dim=0)) == 1
        assert [[tuple(place) for place in each] for each in read.locations.tolist()] == [
            places[str(number)][n] for n in range(600)
        ]
        GEOMETRIES["celebahq"].grid().index(places_at(read.locations, 16))


def test_all_published_birds_parse(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    store = import_published(real_data("published-sequences") / "birds.tar.gz", tmp_path / "birds.h5")
    locations = store.load().locations
    assert locations.shape == (1000, 5, 3) and store.ids[:3].tolist() == [1, 8, 22]
    assert locations[:, 0].unique(dim=0).tolist() == [[40, 48, 32]]


def test_published_faces_go_with_the_real_images(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    archive, root = real_data("published-sequences") / "celebahq.tar.gz", real_data("celebahq")
    dataset = load("celebahq", root, attribute="Mouth_Slightly_Open")
    store = import_published(archive, tmp_path / "a.h5", attribute="Mouth_Slightly_Open", dataset=dataset)
    store.require({"fingerprint": dataset["design"].fingerprint})
    split, locations = supervised_split(store, dataset["design"], 5)
    assert len(split) == 600 and locations.shape == (600, 5, 3)


def birds(root: Path, write_photo: Callable[..., None], size: int = 128) -> DataSet:
    """Ten photographs in CUB's layout, of which number 10 is a test image."""
    names = {i: f"{1 + i % 2:03}.Bird/{i}.jpg" for i in range(1, 11)}
    for i, name in names.items():
        write_photo(root / "images" / name, i, (40, 40))
    lines = {
        "images.txt": [f"{i} {name}" for i, name in names.items()],
        "image_class_labels.txt": [f"{i} {1 + i % 2}" for i in names],
        "train_test_split.txt": [f"{i} {int(i < 10)}" for i in names],
        "bounding_boxes.txt": [f"{i} 1 1 20 20" for i in names],
    }
    for file, its in lines.items():
        (root / file).write_text("\n".join(its))
    return load("cub", root, size=size)


def test_birds_go_with_cub_by_its_numbers(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    dataset, said = birds(tmp_path / "cub", write_photo), list[str]()
    train = dataset["train"].ids.tolist()
    texts = {f"birds/{i}.txt": f"40, 48\n{8 * i}, 0\ndata/birds/{i}.png" for i in range(1, 11)}
    store = import_published(
        packed(texts, tmp_path, "tar"), tmp_path / "b.h5", dataset=dataset, split="train", say=said.append
    )
    assert store.ids.tolist() == train and f"left out {10 - len(train)} of 10 sequences" in said[0]
    assert store.load().locations[:, 1, 0].tolist() == [8 * i for i in train]
    assert geometry_for(dataset, store, dataset.geometry) == dataset.geometry
    guided = guided_images(dataset, store, dataset.geometry, 2, None, "categorical")
    assert guided is not None and guided[0].ids.tolist() == train


def test_birds_of_another_size_are_refused(tmp_path: Path, write_photo: Callable[..., None]) -> None:
    dataset = birds(tmp_path / "cub", write_photo, size=64)
    with pytest.raises(SettingsError, match="128 x 128, found 64 x 64"):
        import_published(packed(BIRDS, tmp_path, "tar"), tmp_path / "b.h5", dataset=dataset)
