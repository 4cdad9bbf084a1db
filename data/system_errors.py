"""What to do about an error of the operating system: most of them say nothing of the file itself."""

from __future__ import annotations

import errno

ADVICE = {
    (errno.EACCES, errno.EPERM): "change its permissions, or name another",
    (errno.EROFS,): "the disk is read-only, name a place on another",
    (errno.ENOSPC, errno.EDQUOT): "no room is left, make room and run the same command again",
    (errno.ENOLCK, 524): "the file system has no locks, set HDF5_USE_FILE_LOCKING=FALSE or use another disk",
    (errno.EMFILE, errno.ENFILE): "too many files are open, raise the limit (ulimit -n)",
    (errno.EAGAIN, errno.EWOULDBLOCK): "another process uses it, wait for that",
    (errno.EIO, errno.ESTALE, errno.ETIMEDOUT): "the disk or the network failed, try again",
    (errno.ENOENT,): "it is not there any more",
    (errno.ENAMETOOLONG,): "its name is too long for this disk, use a shorter one",
}
"""By error numbers; 524 is what Linux's NFS says for ENOTSUPP."""


def advice(error: OSError) -> str | None:
    """What to do about it; None where the system blames the file's content, or nothing.

    >>> advice(OSError(errno.ENOSPC, "No space left on device"))
    'no room is left, make room and run the same command again'
    >>> advice(OSError("cannot identify image file")) is None
    True
    """
    return next((told for numbers, told in ADVICE.items() if error.errno in numbers), None)
