"""Errors that a user can act on: each message says what was expected, what was found, what to do."""

import re
import reprlib

LONGEST = 1500  # signs of a message


class GlimpseError(Exception):
    """Base of every error that this project raises on bad input."""


class DataError(GlimpseError):
    """Images, labels or annotation files are missing, unreadable or inconsistent."""


class NoImagesError(DataError):
    """A split is not there, or has no image."""


class TrainingError(GlimpseError):
    """A training has diverged: its loss, or what it makes, is no number any more."""


class UnfinishedError(GlimpseError):
    """A training was left where its time was over; its state is saved, and the same call takes it up."""


class SettingsError(GlimpseError):
    """A setting is impossible by itself or together with the others."""


class StoreError(GlimpseError):
    """A store of sequences is unreadable, unfinished or was made with other settings."""


class CheckpointError(GlimpseError):
    """Saved weights are missing, damaged or belong to another data set or network."""


class WorkerError(GlimpseError):
    """Processes or machines that share a work were lost again and again, or cannot be reached."""


def one_line(value: object) -> str:
    """A value as a message can show it, shortened.

    >>> one_line("long " * 20)
    "'long long lo...g long long '"
    """
    return re.sub(r"\s*\n\s*", " ", reprlib.repr(value))


def on_one_line(text: str) -> str:
    """A message such that it is one line that can be printed: blanks stay, for they may be part of a name.

    Of a very long one the middle is left out: what is found in a file may be anything.

    >>> print(on_one_line("IMG\\n 0  copy \\udcf1.jpg"))
    IMG\\n 0  copy \\udcf1.jpg
    """
    shown = text.encode(errors="backslashreplace").decode()
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 :]}"
