"""One process at a time in a folder, which says who it is; room that is taken before it is mapped."""

import errno
import os
import platform
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from data import store
from data.errors import DataError
from data.files import write_atomically, write_text
from data.owner import OWNER, owned, owned_file
from data.store import cache_folder, cached_store


def test_a_folder_that_is_taken_is_refused_and_says_by_whom(tmp_path: Path) -> None:
    with owned(tmp_path / "run", "another training"):
        who = rf"found it in use by another training \(process {os.getpid()} on {platform.node()} since 20"
        with pytest.raises(DataError, match=who), owned(tmp_path / "run", "another training"):
            raise AssertionError
    with owned(tmp_path / "run", "another training"):
        assert (tmp_path / "run" / OWNER).exists()
    assert not (tmp_path / "run" / OWNER).exists()


def test_a_folder_without_locks_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(lock: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", no_locks)
    with pytest.raises(DataError, match="the file system has no locks"), owned(tmp_path, "another training"):
        raise AssertionError


def test_a_file_that_is_taken_is_waited_for_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    came = list[str]()

    def second() -> None:
        with owned_file(tmp_path / "a.h5", "another command", wait=True):
            came.append("second")

    with owned_file(tmp_path / "a.h5", "another command"), owned_file(tmp_path / "b.h5", "another command"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        came.append("first")
    thread.join(10)
    assert came == ["first", "second"]
    said = capsys.readouterr().err
    assert "a.h5 to be free, found it in use by another command (process" in said and "waiting for" in said


def test_what_cannot_be_written_to_needs_no_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, how: how != os.W_OK)
    with owned(tmp_path, "another training"):
        assert not list(tmp_path.iterdir())


def test_half_a_file_does_not_keep_the_room_that_is_lacking(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def full(beside: Path) -> None:
        beside.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "a", full)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def decoded(key: str) -> store.ImageStore:
    ids = np.arange(3)
    return cached_store(key, (2, 2, 1), ids, ids, lambda rows: np.ones((len(rows), 2, 2, 1)), title="t")


@pytest.mark.parametrize("allocates", [True, False])
def test_a_full_disk_is_said_before_anything_is_mapped(
    allocates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOED_CACHE", str(tmp_path))
    if allocates:

        def full(number: int, start: int, length: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    else:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
        usage = shutil.disk_usage(tmp_path)._replace(free=1)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"No space left .* no room is left, .* BOED_CACHE names another"):
        decoded("a")
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.npy"))  # which would keep the room that there was
    monkeypatch.setenv("BOED_CACHE", str(tmp_path))
    assert decoded("a").images.sum() == 12  # and what was begun does not stand in the way


def test_without_a_home_the_cache_asks_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BOED_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DataError, match="set BOED_CACHE to a folder"):
        cache_folder()


def test_files_have_the_permissions_of_the_umask_whoever_writes_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for name in ("a", "a"):  # again over the first
            write_text(tmp_path / name, "x")
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
