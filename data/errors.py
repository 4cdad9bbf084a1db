"""Errors that a user can act on: each message says what was expected, what was found, what to do."""

import reprlib


class GlimpseError(Exception):
    """Base of every error that this project raises on bad input."""


class DataError(GlimpseError):
    """Images, labels or annotation files are missing, unreadable or inconsistent."""


class SettingsError(GlimpseError):
    """A setting is impossible by itself or together with the others."""


class StoreError(GlimpseError):
    """A store of sequences is unreadable, unfinished or was made with other settings."""


class CheckpointError(GlimpseError):
    """Saved weights are missing, damaged or belong to another data set or network."""


def one_line(value: object) -> str:
    """A value as a message can show it, shortened.

    >>> one_line("long " * 20)
    "'long long lo...g long long '"
    """
    return " ".join(reprlib.repr(value).split())
