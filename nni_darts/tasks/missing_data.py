"""The error of a data set that is not there."""

from __future__ import annotations


class MissingDataError(FileNotFoundError, ValueError):
    """A data set is not where it was looked for, and could not be downloaded there."""
