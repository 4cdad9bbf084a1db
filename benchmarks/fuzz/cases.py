"""The whole files of `benchmarks.fuzz`, and the commands that read them: made from nothing, all small."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import click
import h5py
import numpy as np
from click.testing import CliRunner
from PIL import Image

import boed
from benchmarks.fuzz.archives import packed
from benchmarks.fuzz.judge import Answer, Case, House
from boed.cli.main import main as boed_command
from data.dataset import DataSet
from data.layouts import CELEBAHQ_ANNOTATIONS, CELEBAHQ_IMAGES
from hardattn.cli.main import main as hardattn_command
from hardattn.experiments.frontier.grid import read_grid

SIDE = 32
BIRDS, SPECIES = 24, 2
PHOTOS = 12
VICTIM = "victim.h5"


def cases(house: House, *, fitted: bool = True) -> list[Case]:
    """All of them, whose files are in `house.root / "inputs"`.

    Args:
        fitted: whether approximations are among them, which take seconds to make.
    """
    inputs = house.root / "inputs"
    (house.outside / "victim.txt").write_text("20, 20\n")
    made = [
        *_stores(house, inputs / "stores"),
        *_trained(house, inputs / "runs"),
        *(_fitted(inputs / "fit") if fitted else ()),
        *_faces(house, inputs / "faces"),
        *_birds(house, inputs / "birds"),
        *_folders(house, inputs / "folder"),
        *_digits(house, inputs / "mnist"),
        *_settings(house, inputs / "settings"),
    ]
    house.remember()
    return made


def _boed(*words: object) -> tuple[click.Command, list[str]]:
    return boed_command, [str(word) for word in words]


def _hardattn(*words: object) -> tuple[click.Command, list[str]]:
    return hardattn_command, [str(word) for word in words]


def _done(command: tuple[click.Command, list[str]]) -> str:
    """Runs what makes a whole file."""
    result = CliRunner().invoke(command[0], command[1])
    if result.exit_code:
        raise RuntimeError(f"{command[1]}: {result.output}") from result.exception
    return result.stdout


def _same(said: str) -> object:
    """An answer that is what was said; NaN is none."""
    if "nan" in said.lower():
        raise ValueError(f"NaN in {said[:200]}")
    return said


def _stored(path: Path) -> Answer:
    """An answer that is a store."""

    def read(said: str) -> object:
        with h5py.File(path, "r") as file:
            arrays = {name: file[name][()].tolist() for name in ("image_id", "places", "done")}
            return arrays, file.attrs["settings"]

    return read


def _stores(house: House, folder: Path) -> Iterator[Case]:
    """Of the digits, which are made: read for figures, taken up, imitated and drawn."""
    folder.mkdir()
    one, other, maps = folder / "s.h5", folder / "t.h5", folder / "m.h5"
    _done(_hardattn("parts", "--images", 8, "--out", one))
    _done(_hardattn("saliency", "--images", 8, "--out", maps, "--glimpses", 3))
    shutil.copy(one, house.outside / VICTIM)
    shutil.copy(one, other)
    found = _boed("finding", one, "--json")
    yield Case("store", "finding", one, one.read_bytes(), found, _same, weight=3)
    resumed = _hardattn("parts", "--images", 9, "--out", other)
    yield Case("store", "taken up", other, other.read_bytes(), resumed, _stored(other), weight=2)
    imitated = _hardattn(*_training(house.run, "s"), "--supervise", one, "--name", "s")
    yield Case("store", "imitated", one, one.read_bytes(), imitated, _same, weight=0.5)
    picture = house.run / "p.png"
    drawn = _boed("show", maps, "--image", 213, "--out", picture)
    yield Case(
        "store", "drawn", maps, maps.read_bytes(), drawn, lambda said: picture.read_bytes(), weight=0.3
    )


def _training(folder: Path, name: str) -> list[object]:
    return ["train", "--epochs", 0.1, "--device", "cpu", "--hidden", 8, "--run", folder, "--name", name]


def _trained(house: House, folder: Path) -> Iterator[Case]:
    """A run folder: its weights, the JSON beside them, and the photograph that it looks at."""
    _done(_hardattn(*_training(folder, "t")))
    run, photo = folder / "hardattn-t-0", folder / "photo.png"
    _noise(photo, 40, 40, seed=0)
    predict = _hardattn("predict", run, photo, "--json", "--device", "cpu")
    for name, kind, weight in (
        ("model.safetensors", "weights", 4),
        ("run.json", "JSON beside", 4),
        ("log.jsonl", "JSON beside", 1),
    ):
        path = run / name
        yield Case(kind, name, path, path.read_bytes(), predict, _same, name == "model.safetensors", weight)
    last = run / "last.safetensors"
    again = _hardattn(*_training(folder, "t"))
    yield Case("weights", last.name, last, last.read_bytes(), again, _same, True, 1, run)
    yield Case("image", "predicted", photo, photo.read_bytes(), predict, _same, weight=4)
    evaluation = run / "evaluation.json"
    evaluate = _hardattn("evaluate", run, "--json")
    _done(evaluate)
    page = house.run / "r.html"
    report = _hardattn("report", run, "--out", page)
    yield Case(
        "JSON beside",
        evaluation.name,
        evaluation,
        evaluation.read_bytes(),
        report,
        lambda said: page.read_text(),
        weight=0.5,
        own=run,
    )
    about, log = run / "run.json", run / "log.jsonl"
    yield Case(
        "JSON beside", "run.json, evaluated", about, about.read_bytes(), evaluate, _same, weight=0.4, own=run
    )
    yield Case(
        "JSON beside", "log.jsonl, evaluated", log, log.read_bytes(), evaluate, _same, weight=0.3, own=run
    )


def _fitted(folder: Path) -> Iterator[Case]:
    """Approximations of images that are arrays, whose bank is saved with them."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 16, 16), dtype=np.uint8)
    task = DataSet.from_arrays(pixels, np.arange(120) % 2, glimpse_size=4)
    boed.fit(task, folder, iterations=2, width=8, trial_images=4, glimpses=2, device="cpu")

    def designed() -> object:
        fitted = boed.load(folder, device="cpu")
        return boed.design(fitted, task["design"], images=1).places.tolist()

    for path in sorted(folder.glob("*.*")):
        if path.suffix in (".json", ".safetensors"):
            weights = path.suffix == ".safetensors"
            kind = "weights" if weights else "JSON beside"
            yield Case(kind, path.name, path, path.read_bytes(), designed, _same, weights, 1)


def _noise(path: Path, width: int, height: int, seed: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def _faces(house: House, root: Path) -> Iterator[Case]:
    """CelebA-HQ's attributes, a face, and published sequences as text, as an archive and packed."""
    for i in range(4):
        _noise(root / CELEBAHQ_IMAGES / f"{i}.jpg", 24, 24, seed=i)
    rows = [f"{i}.jpg  {(-1) ** i} {1 if i < 2 else -1}" for i in range(4)]
    annotations = root / CELEBAHQ_ANNOTATIONS
    annotations.write_text("\n".join(["4", "Young Male", *rows]) + "\n")
    texts = {f"celebhq/20/{i}.txt": f"147, 126\n{4 * i}, 0\n" for i in range(4)}
    for name, text in texts.items():
        (root / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "texts" / name).write_text(text)
    plain, zipped = root / "s.tar", root / "s.tar.gz"
    plain.write_bytes(_tar(texts))
    zipped.write_bytes(packed(_tar(texts)))
    out, answer = house.run / "i.h5", _stored(house.run / "i.h5")

    def imported(path: Path) -> tuple[click.Command, list[str]]:
        return _boed("import", path, "--attribute", "Male", "--data-root", root, "--out", out)

    face, sequences = root / CELEBAHQ_IMAGES / "1.jpg", root / "texts/celebhq/20/1.txt"
    yield Case(
        "annotations", "attributes", annotations, annotations.read_bytes(), imported(plain), answer, weight=3
    )
    yield Case("image", "face", face, face.read_bytes(), imported(plain), answer)
    yield Case(
        "annotations",
        "sequences",
        sequences,
        sequences.read_bytes(),
        imported(root / "texts"),
        answer,
        weight=2,
    )
    yield Case("archive", plain.name, plain, plain.read_bytes(), imported(plain), answer, weight=2)
    yield Case("archive", zipped.name, zipped, zipped.read_bytes(), imported(zipped), answer, True, 2)


def _tar(texts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in texts.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _birds(house: House, root: Path) -> Iterator[Case]:
    """CUB's text files, and a photograph."""
    ids = range(1, BIRDS + 1)
    names = {i: f"{1 + i % SPECIES:03}.Bird/{i}.jpg" for i in ids}
    for i, name in names.items():
        _noise(root / "images" / name, 40, 36, seed=i)
    texts = {
        "images.txt": [f"{i} {names[i]}" for i in ids],
        "image_class_labels.txt": [f"{i} {1 + i % SPECIES}" for i in ids],
        "train_test_split.txt": [f"{i} {int(i % 4 > 0)}" for i in ids],
        "bounding_boxes.txt": [f"{i} 3.0 4.0 20.0 21.5" for i in ids],
        "parts/parts.txt": ["1 beak", "2 left eye", "3 tail"],
        "parts/part_locs.txt": [
            f"{i} {p} {5.5 * p} 12.0 {int(i % 3 > 0 or p == 1)}" for i in ids for p in (1, 2, 3)
        ],
    }
    (root / "parts").mkdir()
    for file, lines in texts.items():
        (root / file).write_text("\n".join(lines) + "\n")
    out = house.run / "b.h5"
    words = ("--dataset", "cub", "--data-root", root, "--split", "train", "--image-size", SIDE, "--out", out)
    for file in texts:
        path = root / file
        yield Case("annotations", file, path, path.read_bytes(), _hardattn("parts", *words), _stored(out))
    photo = root / "images" / names[1]
    yield Case("image", "bird", photo, photo.read_bytes(), _hardattn("parts", *words), _stored(out))


def _folders(house: House, root: Path) -> Iterator[Case]:
    """Class folders: a photograph, a mask, a list of classes, annotated parts, and the decoded cache."""
    names = [f"train/{kind}/{n}.png" for kind in ("cat", "dog", "emu") for n in range(PHOTOS)]
    for seed, name in enumerate(names):
        _noise(root / name, 36, 33, seed)
        _noise(root / "masks" / name, 36, 33, seed + 100, "L")
    classes, parts, out = root / "classes.txt", root / "parts.txt", house.run / "f.h5"
    classes.write_text("# three of them\ncat\ndog\nemu\n")
    parts.write_text(
        "".join(f"{i} beak {i % 30}.5 7 1\n{i} tail 3 {i % 20} {i % 2}\n" for i in range(len(names)))
    )
    data = (
        "--dataset",
        "folder",
        "--data-root",
        root,
        "--image-size",
        SIDE,
        "--split",
        "train",
        "--out",
        out,
    )
    salient = _hardattn("saliency", *data, "--saliency", root / "masks", "--images", 4)
    answer = _stored(out)
    listed = (salient[0], [*salient[1], "--classes", str(classes)])
    annotated = _hardattn("parts", *data, "--parts", parts, "--order", "beak,tail")
    train = next(name for name in names if "train" in name and _is_train(name))
    photo, mask = root / train, root / "masks" / train
    before = set(house.cache.iterdir())
    _done(salient)
    yield Case("annotations", "class list", classes, classes.read_bytes(), listed, answer)
    yield Case("annotations", "parts", parts, parts.read_bytes(), annotated, answer, weight=2)
    yield Case("image", "photograph", photo, photo.read_bytes(), salient, answer, weight=2)
    yield Case("image", "mask", mask, mask.read_bytes(), salient, answer, weight=2)
    (cached,) = {folder for folder in house.cache.iterdir() if (folder / "store.json").exists()} - before
    for path in sorted(cached.glob("*.*")):
        if path.suffix in (".npy", ".json"):
            yield Case("cache", path.name, path, path.read_bytes(), salient, answer)


def _is_train(name: str) -> bool:
    from data.folder import part_of_training

    return part_of_training(name.partition("/")[2]) == "train"


def _digits(house: House, root: Path) -> Iterator[Case]:
    """MNIST's files, packed and not."""
    random, out = np.random.default_rng(0), house.run / "m.h5"
    arrays = {
        "train-images-idx3-ubyte": random.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": random.integers(0, 10, 60, dtype=np.uint8),
    }
    for zipped in (True, False):
        folder = root / ("packed" if zipped else "plain")
        folder.mkdir(parents=True)
        words = ("--dataset", "mnist", "--data-root", folder, "--images", "2", "--glimpses", 3, "--out", out)
        for name, array in arrays.items():
            content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(packed(content) if zipped else content)
            saliency = _hardattn("saliency", *words)
            yield Case("archive", path.name, path, path.read_bytes(), saliency, _stored(out), zipped)


def _settings(house: House, folder: Path) -> Iterator[Case]:
    """Options in a file, and the networks of a frontier."""
    folder.mkdir()
    options, grid = folder / "o.toml", folder / "g.toml"
    options.write_text(
        'dataset = "digits"\nimages = 3\nglimpses = 2\nsides = "8,16"\ndata-seed = 0\nfirst-glance = false\n'
    )
    out = house.run / "o.h5"
    yield Case(
        "TOML",
        "options",
        options,
        options.read_bytes(),
        _hardattn("parts", "--config", options, "--out", out),
        _stored(out),
        weight=2,
    )
    own = Path(__file__).parents[2] / "hardattn/experiments/frontier/grids/digits.toml"
    shutil.copy(own, grid)
    yield Case("TOML", "frontier", grid, grid.read_bytes(), lambda: repr(read_grid("digits", grid)), str)
