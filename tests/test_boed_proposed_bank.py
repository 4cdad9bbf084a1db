"""The bank of proposals: any folder of images, saved codes, and the command line."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boed_tiny import GEOMETRY, PLACES, pointer_dataset, pointer_split
from cli_tiny import assert_refused
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

import boed.cli.fit_options
import boed.fitting.parts
import boed.search.adaptivity
import boed.search.codebook
from boed.approximations import Approximations
from boed.cli.main import main
from boed.combination import Combination
from boed.completions.folder_bank import folder_bank
from boed.completions.proposed_retrieval import ProposedRetrieval, bank_digest, require_bank
from boed.estimators.calibration import Calibration
from boed.fitting.fit import fit
from boed.search.adaptivity import Adaptivity
from boed.search.designer import Designer, design_sequences
from boed.search.diagnostics import sample_sizes
from data.dataset import DataSet, Split
from data.errors import CheckpointError, DataError, SettingsError
from data.geometry import Geometry
from data.tensors import load_tensors
from supervision.store import SequenceStore

COMBINATION = Combination.of(completion="proposals")
TINY: dict[str, Any] = {"iterations": 8, "width": 12, "resolution": 12}


def look(split: Split, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Two glimpses of some images of the made-up task, and where they are."""
    places = PLACES[None, [4, 8]].expand(len(rows), -1, -1)
    return GEOMETRY.retina()(split.images, rows, places), places


def test_a_digest_is_of_one_bank(tmp_path: Path) -> None:
    bank = pointer_split(9, 0)
    digests = [
        bank_digest(each)
        for each in (bank, replace(bank, fingerprint="else"), bank.take(torch.arange(8)), bank)
    ]
    assert torch.equal(digests[0], digests[3])
    assert not any(torch.equal(digests[0], other) for other in digests[1:3])
    require_bank(digests[0], bank, tmp_path)
    found = bytes(digests[1].tolist()).hex()[:12]
    with pytest.raises(
        CheckpointError, match=rf"the 9 images of the bank .* found those of others \({found}"
    ):
        require_bank(digests[1], bank, tmp_path)


@pytest.fixture
def pictures(tmp_path: Path, write_photo: Callable[..., None]) -> Path:
    """Five readable images of several sizes, some in folders, and what is no image of the bank."""
    root = tmp_path / "pictures"
    for n, name in enumerate(["b.png", "a.PNG", "deep/er/c.png", "deep/d.jpg", "e.jpeg"]):
        write_photo(root / name, seed=n, size=(30 + 5 * n, 40))
    (root / "notes.txt").write_text("no image")
    write_photo(root / ".hidden" / "f.png", seed=9)
    return root


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_a_bank(pictures: Path, channels: int) -> None:
    """In the order of the names, at the task's size; of grey tasks the mean of the colours."""
    bank = folder_bank(pictures, Geometry(20, 20, channels, glimpse_size=4))
    assert bank.images.shape == (5, 20, 20, channels) and bank.images.dtype == torch.uint8
    assert bank.ids.tolist() == list(range(5))
    image = Image.open(pictures / "b.png")  # 30 x 40: the square is cut out of its height
    expected = np.asarray(image.resize((20, 20), Image.Resampling.LANCZOS, (0, 5, 30, 35)))
    shown = expected if channels == 3 else expected.astype(int).sum(-1, keepdims=True) // 3
    assert np.array_equal(bank.images[1].numpy(), shown)


def test_another_image_makes_another_bank(pictures: Path, write_photo: Callable[..., None]) -> None:
    geometry = Geometry(20, 20, 3, glimpse_size=4)
    before = bank_digest(folder_bank(pictures, geometry))
    assert torch.equal(bank_digest(folder_bank(pictures, geometry)), before)
    write_photo(pictures / "b.png", seed=77, size=(31, 40))
    assert not torch.equal(bank_digest(folder_bank(pictures, geometry)), before)


def test_a_folder_that_cannot_be_a_bank_is_refused(pictures: Path, tmp_path: Path) -> None:
    geometry = Geometry(20, 20, 3, glimpse_size=4)
    with pytest.raises(DataError, match="expected a folder of images for the bank, found no folder .*gone"):
        folder_bank(tmp_path / "gone", geometry)
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(DataError, match=r"expected images \(.avif, .* .webp\) in .*empty, found none"):
        folder_bank(tmp_path / "empty", geometry)
    with pytest.raises(SettingsError, match="expected square images .* found 20 x 24; leave out --bank"):
        folder_bank(pictures, replace(geometry, width=24))
    (pictures / "z.png").write_text("no image")
    with pytest.raises(DataError, match="expected a readable image, found .*z.png"):
        folder_bank(pictures, geometry)


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    """Few images to choose the weights of adaptivity on, and few places."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boed.search.adaptivity, "FEW_IMAGES", 4)
        patch.setattr(boed.search.adaptivity, "IMAGE_PLACES", 0)
        patch.setattr(boed.search.codebook, "SMALL_GRID", 0)
        yield


def fitted(folder: Path, dataset: DataSet | None = None, **options: Any) -> Approximations:
    return fit(dataset or pointer_dataset(train=60), folder, combination=COMBINATION, **TINY, **options)


def test_what_is_saved_completes_alike(tmp_path: Path) -> None:
    """The images are not in the file: they are those of the bank."""
    one, other = fitted(tmp_path), fitted(tmp_path)
    assert one.digest() == other.digest()
    glimpses, places = look(pointer_dataset()["design"], torch.arange(3))
    noise = torch.randn(3, 6, 1, generator=torch.Generator().manual_seed(0))
    completions = []
    for generator in (one.generator, other.generator):
        assert isinstance(generator, ProposedRetrieval)
        completions.append(generator.complete(glimpses, places, noise))
    assert torch.equal(*completions)
    kept = load_tensors(tmp_path / "completion-proposals.safetensors", "boed fit")[0]
    assert {name for name in kept if "." not in name} == {"codes", "bank_digest"}
    assert all(name.startswith("factors.") for name in kept.keys() - {"codes", "bank_digest"})


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_data_set_says_whether_images_are_mirrored(tmp_path: Path, symmetric: bool) -> None:
    dataset = pointer_dataset(train=60)
    dataset.symmetric = symmetric
    for _ in ("learned", "loaded"):
        learned = fitted(tmp_path, dataset)
        assert learned.generator is not None
        codes = learned.generator.network.codes
        assert isinstance(codes, Tensor) and codes.shape[:2] == (1 + symmetric, len(learned.bank))


def test_codes_of_another_bank_are_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    fitted(one)
    fitted(other, pointer_dataset(train=60, seed=1))
    shutil.copy(one / "completion-proposals.safetensors", other)
    with pytest.raises(CheckpointError, match="expected codes of the 17 images of the bank .* found those"):
        fitted(other, pointer_dataset(train=60, seed=1))


def test_images_that_are_designed_for_do_not_explain_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the weight of adaptivity is estimated on the bank; afterwards they are back."""
    asked = list[int]()

    def estimate(learned: Approximations, seed: int, *, rows: Tensor) -> Adaptivity:
        glimpses, places = look(learned.bank, rows[:1])
        assert isinstance(learned.generator, ProposedRetrieval)
        proposed = learned.generator.propose(glimpses, places).rows
        assert not torch.isin(proposed, rows).any()
        assert len(proposed) == len(learned.bank) - len(rows) > 0
        asked.append(len(rows))
        return Adaptivity((1.0,) * 3, (Calibration(),) * 3)

    monkeypatch.setattr(boed.fitting.parts, "estimate_adaptivity", estimate)
    monkeypatch.setattr(boed.search.adaptivity, "FEW_IMAGES", 1000)  # more than there are
    learned = fitted(tmp_path)
    assert len(asked) == 1 and asked[0] > 1
    assert isinstance(learned.generator, ProposedRetrieval)
    assert not learned.generator._left_out.any()


def test_sample_sizes_are_reported_step_by_step(tmp_path: Path) -> None:
    learned, split = fitted(tmp_path), pointer_dataset()["design"]
    designer, rows = Designer(learned, completions=9, shrink=False), torch.arange(6)
    locations = design_sequences(designer, split, rows, 3, designer.weights, seed=0).locations
    found = sample_sizes(designer, split, rows, locations, seed=0)
    generator = learned.generator
    assert isinstance(generator, ProposedRetrieval) and len(found) == 2
    for step, (size, target) in enumerate(found):
        places = locations[:, : step + 1]
        glimpses = learned.geometry.retina()(split.images, rows, places)
        assert size == float(generator.sample_size(glimpses, places).mean())
        assert target == generator.target_ess


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


SMALL = [
    "--device",
    "cpu",
    "--glimpses",
    2,
    "--iterations",
    8,
    "--width",
    12,
    "--resolution",
    10,
    "--places",
    9,
]
DESIGN = ["--images", 3, "--completions", 9]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("digits")
    result = call("generate", "--run", run, *SMALL, *DESIGN, "--completion", "proposals")
    assert result.exit_code == 0, result.output
    line = "effective sample size of the completions after each glimpse (target of retrieval alone): "
    assert [out for out in result.stdout.splitlines() if out.startswith(line) and out.endswith(" (20)")]
    return run


def test_digits_are_designed_for(digits_run: Path) -> None:
    """Without a bank of files: from the labelled images that q has not seen."""
    store = SequenceStore.read(digits_run / "sequences-proposals-entropy.h5")
    assert store.done.all() and store.settings["design"]["completion"] == "proposals"
    assert store.settings["design"]["score"] == "entropy" and store.settings["design"]["bank"] is None
    before = {path: path.stat().st_mtime_ns for path in digits_run.rglob("*")}
    result = call("generate", "--run", digits_run, *DESIGN, "--completion", "proposals")
    assert result.exit_code == 0, result.output
    assert {
        path: path.stat().st_mtime_ns for path in digits_run.rglob("*.safetensors")
    }.items() <= before.items()


def test_photographs_are_designed_for_with_a_bank_of_files(
    pictures: Path, tmp_path: Path, write_photo: Callable[..., None]
) -> None:
    """One q serves several banks, each with files of its own; other images in one of them are refused."""
    for n in range(90):
        write_photo(tmp_path / "photos" / "train" / "ab"[n % 2] / f"{n}.png", seed=n)
    task = ["--dataset", "folder", "--data-root", tmp_path / "photos", "--run", tmp_path / "run", *DESIGN]
    own = [*task, "--completion", "proposals"]
    for options in (["--bank", pictures, *SMALL], ["--bank", pictures], [], ["--bank", pictures / "deep"]):
        result = call("generate", *own, *options)
        assert result.exit_code == 0, result.output
    for tag, bank in ((f"-{pictures.name}", str(pictures)), ("", None), ("-deep", str(pictures / "deep"))):
        store = SequenceStore.read(tmp_path / "run" / f"sequences-proposals-entropy{tag}.h5")
        assert store.settings["design"]["bank"] == bank
    assert call("generate", *task, "--source", "fixed-order").exit_code == 0  # q is for all completions
    (pictures / "b.png").unlink()
    changed = call("generate", *own, "--bank", pictures)
    assert_refused(changed, "codes of the 4 images of the bank", progress=None)


@pytest.mark.parametrize("command", ["fit", "generate"])
def test_a_bank_that_cannot_serve_is_refused_before_the_fit(
    command: str, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = "boed.fitting.fit.fit"
    monkeypatch.setattr(begun, lambda *_, **__: pytest.fail("a fit was begun"))
    run = ["--run", tmp_path / "run"]
    for completion in ("retrieval", "gaussian"):
        words = [f"no bank for the completion {completion}", "add --completion proposals"]
        assert_refused(call(command, *run, "--completion", completion, "--bank", pictures), *words)
    proposals = [*run, "--completion", "proposals", "--bank"]
    assert_refused(call(command, *proposals, tmp_path / "gone"), "no folder", "set --bank")
    (tmp_path / "empty").mkdir()
    assert_refused(call(command, *proposals, tmp_path / "empty"), "found none; set --bank")
    assert not (tmp_path / "run").exists()
