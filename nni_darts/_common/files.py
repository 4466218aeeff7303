"""Files that are written and read as a whole."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from nni_darts._common import limits

T = TypeVar("T")


class DamagedError(ValueError):
    """A file does not hold what it should: a predicate, to be put after the file's name."""


class NoHomeError(OSError, ValueError):
    """Path that begins with the home folder of a user who has none."""


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path, whose `~` or `~name` at the beginning is a home folder.

    Raises:
        NoHomeError: a user of a container need not have one, and a name may be nobody's.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise NoHomeError(
            f"{os.fspath(path)!r} begins with a home folder, and there is none; set HOME, or give "
            "the whole path"
        ) from None


def write(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader, a crash or a power cut never meets half of it.

    Raises:
        OSError: it cannot be written; the file before it is whole, and nothing else is left.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes | memoryview, keep: str | None = None) -> None:
    """Replace a file of bytes as a whole, as `write` does for text.

    Args:
        path: the file.
        content: new content of the file.
        keep: the name, in the same folder, under which the file before it is kept.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            # Else a power cut could leave the new name on an empty file.
            os.fsync(file.fileno())
        if keep is not None and path.is_file():
            path.replace(path.with_name(keep))
        fresh.replace(path)
    except BaseException as error:
        fresh.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = str(path)  # a full disk does not say for what
        raise


def read_regular(path: Path, most: int) -> bytes:
    """Content of a regular file of at most `most` bytes.

    Raises:
        DamagedError: it is no regular file, or larger.
        OSError: it cannot be read. A path that holds a null byte is reported as a missing file.
    """
    with open_regular(path) as file:
        return bounded(file, most)


def bounded(file: BinaryIO, most: int) -> bytes:
    """All that is left in an open file; DamagedError where that is more than `most` bytes."""
    content = file.read(most + 1)
    if len(content) > most:
        raise DamagedError(f"is larger than the {most} bytes that are read")
    return content


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file, to be read: a pipe, a socket or a device would wait, or never end.

    Raises:
        DamagedError: it is something else.
        OSError: as of `read_regular`.
    """
    try:
        # Opening a pipe waits for its writer, unless told not to.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise DamagedError(f"is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_json(path: Path, kind: type[T]) -> T:
    """Read the value in a JSON file.

    Raises:
        DamagedError: it is no regular file, not JSON, or holds something else than a `kind`.
        OSError: it cannot be read.
    """
    return parse_json(read_regular(path, limits.JSON_SIZE), kind)


def parse_json(text: str | bytes, kind: type[T]) -> T:
    """A value of a `kind` from JSON. Raises DamagedError."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError("is damaged: it is not JSON") from None
    if not isinstance(value, kind):
        raise DamagedError(f"is damaged: it holds a {type(value).__name__}")
    return value


def is_folder(path: Path) -> bool:
    """True if there is such a folder; False, too, if no file can have the name."""
    try:
        return path.is_dir()
    except OSError:  # the name is too long, or a folder on the way is not to be looked into
        return False


def unwritable(folder: Path) -> str | None:
    """Reason why nothing can be written to a folder, which need not exist yet; None if it can."""
    if reason := _no_path(folder):
        return reason
    nearest = folder
    while not os.path.lexists(nearest):
        nearest = nearest.parent
    if not os.path.isdir(nearest):
        return f"{nearest} is not a folder"
    if not (os.access(nearest, os.W_OK | os.X_OK) and _takes_files(nearest)):
        return f"nothing can be written to {nearest}; choose another folder or change its rights"
    return None


def unwritable_file(path: Path) -> str | None:
    """Reason why a file cannot be written, whose folder need not exist yet; None if it can."""
    if os.path.isdir(path):
        return "it is a folder; give the name of a file"
    return _no_path(path) or unwritable(path.absolute().parent)


def _no_path(path: Path) -> str | None:
    if "\0" in str(path):
        return "a path cannot have a null byte"
    if len(os.fsencode(path)) > limits.PATH_BYTES:
        return f"a path cannot be longer than {limits.PATH_BYTES} bytes"
    if any(len(os.fsencode(name)) > limits.NAME_BYTES for name in path.parts):
        return f"a name in a path cannot be longer than {limits.NAME_BYTES} bytes"
    return None


def _takes_files(folder: Path) -> bool:
    """True if a file can be made, which the rights that the system lists do not tell."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
