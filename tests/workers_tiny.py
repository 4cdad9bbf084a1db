"""What workers are given to do in tests."""

import os
import time

from data.errors import DataError


def made_of(thing: int) -> tuple[int, int]:
    """A number doubled, and who did it; some numbers are refused, or never done."""
    if thing == 7:
        raise DataError("expected another number, found 7; take it")
    if thing == 9:
        time.sleep(600)
    return 2 * thing, os.getpid()
