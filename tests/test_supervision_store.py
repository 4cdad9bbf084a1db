import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from boed_tiny import timeless
from store_tiny import CANDIDATES, IDS, SETTINGS, STEPS, fill, open_store, sequences_of

from data.errors import StoreError
from supervision.store import TIMES, SequenceStore, filling


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "sequences.h5"


def test_places_without_a_side_are_refused(path: Path) -> None:
    store, rows = open_store(path), torch.arange(2)
    designed = sequences_of(IDS[:2])
    with pytest.raises(StoreError, match=r"expected places \(2, 3, 3\) .* found \(2, 3, 2\)"):
        store.write(rows, replace(designed, locations=designed.locations[..., :2]))
    assert not SequenceStore.read(path).done.any()


def test_what_is_written_is_read_back(path: Path) -> None:
    fill(open_store(path), torch.tensor([1, 3]))
    store = SequenceStore.read(path)
    assert store.settings == SETTINGS
    assert store.steps == STEPS
    assert torch.equal(store.ids, IDS)
    assert torch.equal(store.candidates, CANDIDATES)
    assert store.done.tolist() == [False, True, False, True, False]
    assert store.pending().tolist() == [0, 2, 4]
    expected, found = sequences_of(IDS[[1, 3]]), store.load()
    assert torch.equal(found.locations, expected.locations)
    assert torch.equal(found.epe, expected.epe)
    assert torch.equal(found.entropy, expected.entropy)
    assert torch.equal(found.epe_map, expected.epe_map)


def test_rows_can_be_chosen(path: Path) -> None:
    store = open_store(path)
    fill(store, torch.arange(5))
    expected = sequences_of(IDS[[0, 4]])
    assert torch.equal(store.load(torch.tensor([0, 4])).locations, expected.locations)


def test_nothing_done_loads_nothing(path: Path) -> None:
    store = open_store(path)
    found = store.load()
    assert found.locations.shape == (0, STEPS, 3)
    assert found.epe_map.shape == (0, STEPS, len(CANDIDATES))
    store.write(store.pending()[:0], found)
    assert not store.done.any()


def test_resumed_store_has_the_bytes_of_an_uninterrupted_one(tmp_path: Path) -> None:
    straight = open_store(tmp_path / "straight.h5")
    for rows in torch.arange(5).split(2):
        fill(straight, rows)
    resumed = open_store(tmp_path / "resumed.h5")
    fill(resumed, torch.tensor([0, 1]))
    again = open_store(tmp_path / "resumed.h5")
    assert again.pending().tolist() == [2, 3, 4]
    for rows in again.pending().split(1):  # also in other batches
        fill(again, rows)
    assert (tmp_path / "resumed.h5").read_bytes() == (tmp_path / "straight.h5").read_bytes()


def test_how_long_it_took_is_all_that_differs_between_a_resumed_and_an_uninterrupted_store(
    tmp_path: Path,
) -> None:
    straight, resumed = tmp_path / "straight.h5", tmp_path / "resumed.h5"
    whole = open_store(straight)
    fill(whole, torch.arange(5))
    whole.add_seconds(2.0, 5)
    for seconds, rows in ((1.0, torch.arange(2)), (7.0, torch.arange(2, 5))):
        part = open_store(resumed)
        fill(part, rows)
        part.add_seconds(seconds, len(rows))
        part.add_making(seconds)
    assert straight.read_bytes() != resumed.read_bytes()
    assert straight.stat().st_size == resumed.stat().st_size
    assert timeless(straight) == timeless(resumed)


def test_seconds_add_up_and_stay_with_the_store(path: Path) -> None:
    store = open_store(path)
    assert store.seconds_per_sequence is None and store.made_in == 0
    store.add_seconds(2.0, 10)
    store.add_seconds(4.0, 10)
    store.add_making(9.0)
    grown = open_store(path, torch.tensor([1, 2, 5]))
    assert grown.seconds_per_sequence == pytest.approx(0.3) and grown.sequences_timed == 20
    assert grown.made_in == 9.0


def test_a_run_that_made_nothing_changes_nothing(path: Path) -> None:
    store = open_store(path)
    before = path.read_bytes()
    store.add_seconds(2.0, 0)
    assert path.read_bytes() == before and store.seconds_per_sequence is None


def test_a_store_without_times_is_read_and_can_get_some(path: Path) -> None:
    """As they were made before there were any."""
    fill(open_store(path), torch.arange(5))
    with h5py.File(path, "r+") as file:
        for name in TIMES:
            del file.attrs[name]
    store = SequenceStore.read(path)
    assert store.done.all() and store.seconds_per_sequence is None and store.made_in == 0
    store.add_seconds(3.0, 2)
    assert SequenceStore.read(path).seconds_per_sequence == 1.5


TROUBLE = [
    (OSError(errno.ENOSPC, "No space left"), "write .*sequences.h5, found: .*no room is left, make room"),
    (
        RuntimeError("unable to close file, errno = 28, error message"),
        "no room is left, make room and run the same command",
    ),
    (BlockingIOError(errno.EAGAIN, "unavailable"), "found it in use by another process; wait for it"),
    (PermissionError(errno.EACCES, "denied"), "found: .*denied; change its permissions, or name another"),
    (OSError(errno.ENOLCK, "No locks available"), "has no locks, set HDF5_USE_FILE_LOCKING=FALSE"),
    (OSError(errno.EIO, "Input/output error"), "the disk or the network failed, try again"),
    (OSError(errno.EXDEV, "Invalid link"), "the file may be whole, try again"),
    (OSError("bad object header"), "truncated or damaged .*move it away and generate again"),
]


@pytest.mark.parametrize(("error", "message"), TROUBLE, ids=[each[1][:30] for each in TROUBLE])
def test_kinds_of_trouble_are_told_apart_and_nothing_is_to_be_deleted(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    store = open_store(path)
    monkeypatch.setattr(h5py.File, "flush", lambda self: (_ for _ in ()).throw(error))
    with pytest.raises(StoreError, match=message) as raised:
        fill(store, torch.tensor([1]))
    assert "delete" not in str(raised.value)


def test_a_folder_that_cannot_be_written_to_is_no_damage(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="change its permissions"):
        open_store(tmp_path / "closed" / "sequences.h5")


def test_other_settings_are_refused_with_both_values(path: Path) -> None:
    open_store(path)
    with pytest.raises(StoreError, match="glimpses = 5, found 3"):
        open_store(path, settings={**SETTINGS, "glimpses": 5})
    with pytest.raises(StoreError, match=r'nested = \{"share": 0.5.* found .*"share": 0.25'):
        open_store(path, settings={**SETTINGS, "nested": {"share": 0.5, "list": [1, 2]}})
    with pytest.raises(StoreError, match="seed = 1, found null"):
        open_store(path, settings={**SETTINGS, "seed": 1})
    open_store(path, settings={"nested": {"list": [1, 2], "share": 0.25}})  # order of keys does not matter


def test_other_sizes_are_refused_even_with_the_same_settings(path: Path) -> None:
    open_store(path)
    with pytest.raises(StoreError, match=r"with 4 glimpses .* found 3"):
        SequenceStore.write_to(path, SETTINGS, IDS, 4, CANDIDATES)
    with pytest.raises(StoreError, match="these 8 candidates, found 3 and 9"):
        SequenceStore.write_to(path, SETTINGS, IDS, STEPS, CANDIDATES[1:])


def test_more_images_keep_what_is_done(path: Path) -> None:
    fill(open_store(path), torch.tensor([1, 4]))
    more = torch.tensor([1, 2, 5, 6, 7, 11])  # 30 is no longer asked for, but done
    grown = open_store(path, more)
    assert grown.ids.tolist() == [1, 2, 5, 6, 7, 11, 30]
    assert grown.ids[grown.done].tolist() == [5, 30]
    expected = sequences_of(torch.tensor([5, 30]))
    assert torch.equal(grown.load().locations, expected.locations)
    assert torch.equal(grown.load().epe_map, expected.epe_map)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_store_that_cannot_grow_stays_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(path, IDS[:2])
    fill(store, torch.arange(2))
    before = path.read_bytes()
    full = OSError(errno.ENOSPC, "No space left")
    with monkeypatch.context() as patch, pytest.raises(StoreError, match="no room is left"):
        patch.setattr(h5py.File, "flush", lambda self: (_ for _ in ()).throw(full))
        open_store(path)
    assert [each.name for each in path.parent.iterdir()] == [path.name] and path.read_bytes() == before


def test_who_fills_a_store_is_waited_for(path: Path) -> None:
    """Rows move when a store grows: what another writes meanwhile would come to lie at other images."""

    def grow() -> None:
        with filling(path):
            store = open_store(path)
            fill(store, store.pending())

    with filling(path):
        store = open_store(path, IDS[1::2])
        other = threading.Thread(target=grow)
        other.start()
        other.join(0.3)
        fill(store, store.pending())
    other.join(30)
    found = SequenceStore.read(path)
    assert found.done.all() and torch.equal(found.load().locations, sequences_of(IDS).locations)


def test_who_has_a_store_open_for_a_moment_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls, opened = open_store(path), list[str](), h5py.File

    def taken_twice(name: Path, mode: str) -> h5py.File:
        calls.append(mode)
        if len(calls) < 3:
            raise BlockingIOError(errno.EAGAIN, "unavailable")
        return opened(name, mode)

    monkeypatch.setattr(h5py, "File", taken_twice)
    fill(store, torch.tensor([1]))
    assert calls == ["r+"] * 3


def test_fewer_images_leave_the_file_as_it_is(path: Path) -> None:
    fill(open_store(path), torch.tensor([1, 4]))
    before = path.read_bytes()
    assert torch.equal(open_store(path, IDS[:2]).ids, IDS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_store_is_refused(path: Path, share: float) -> None:
    fill(open_store(path), torch.arange(5))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(StoreError, match=r"sequences\.h5 truncated or damaged"):
        SequenceStore.read(path)


def test_what_is_no_store_is_refused(path: Path) -> None:
    with pytest.raises(StoreError, match="found none; make it with `boed generate`"):
        SequenceStore.read(path)
    path.parent.mkdir()
    path.write_text("no HDF5")
    with pytest.raises(StoreError, match="truncated or damaged"):
        SequenceStore.read(path)
    with h5py.File(path, "w") as file:
        file["places"] = np.zeros(3)
    with pytest.raises(StoreError, match="without its parts"):
        SequenceStore.read(path)
    with pytest.raises(StoreError, match="found none"):
        SequenceStore.read(path.parent)


def test_a_store_of_another_schema_is_refused(path: Path) -> None:
    open_store(path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 3
        file.attrs["software"] = "boed-hardattn 9.0"
    with pytest.raises(
        StoreError, match=r"expected .* \(schema 2\), found .*schema 3, .* boed-hardattn 9\.0;"
    ):
        SequenceStore.read(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["software"]
    with pytest.raises(StoreError, match=r"schema 3, written by a version that it does not name"):
        SequenceStore.read(path)


def test_rows_are_marked_done_after_their_numbers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(path)
    fill(store, torch.tensor([0]))
    monkeypatch.setattr(h5py.File, "flush", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fill(store, torch.tensor([1]))
    monkeypatch.undo()
    assert SequenceStore.read(path).done.tolist() == [True, False, False, False, False]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[3])]
import h5py, torch
import test_supervision_store as t
store = t.open_store(Path(sys.argv[1]))
t.fill(store, torch.tensor([0, 1]))
h5py.File.flush = lambda self: (h5py.h5f.flush(self.id), os.kill(os.getpid(), signal.SIGKILL))
t.fill(store, torch.tensor([2, 3]))
"""


def test_a_killed_run_leaves_a_readable_store(path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", KILLED, str(path), str(root), __file__]
    killed = subprocess.run(command, env=dict(os.environ), capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    store = open_store(path)
    assert store.pending().tolist() == [2, 3, 4]
    assert torch.equal(store.load().locations, sequences_of(IDS[:2]).locations)
    fill(store, store.pending())
    assert SequenceStore.read(path).done.all()


def test_a_store_in_use_is_not_called_damaged(path: Path) -> None:
    open_store(path)
    with h5py.File(path, "r+"):
        code = f"""
from pathlib import Path
import supervision.hdf5
from supervision.store import TIMES, SequenceStore
supervision.hdf5.PATIENCE = 0.1
SequenceStore.read(Path({str(path)!r}))
"""
        root = Path(__file__).resolve().parents[1]
        reader = subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
        )
    assert "found it in use by another process" in reader.stderr


def other_places(file: h5py.File) -> None:
    file["places"][...] = -3


def elsewhere(file: h5py.File) -> None:
    del file["epe"]
    file["epe"] = h5py.ExternalLink("other.h5", "epe")


def endless(file: h5py.File) -> None:
    del file["epe_map"]
    file.create_dataset("epe_map", (5, 3, 2**28), np.float32, chunks=True)


def text_ids(file: h5py.File) -> None:
    del file["image_id"]
    file["image_id"] = np.full(5, b"x")


def twice(file: h5py.File) -> None:
    file["image_id"][1] = file["image_id"][0]


@pytest.mark.parametrize("change", [other_places, elsewhere, endless, text_ids, twice])
def test_what_no_design_wrote_is_refused(path: Path, change: Callable[[h5py.File], None]) -> None:
    fill(open_store(path), torch.arange(5))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(StoreError, match="expected"):
        SequenceStore.read(path).load()
