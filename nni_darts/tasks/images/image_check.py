"""Check of every image of a folder, before a training meets one that cannot be read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from nni_darts._common.files import NoHomeError, at_home
from nni_darts._common.messages import printable
from nni_darts.tasks.images.augmentation import UnreadableImageError, read_image

SHOWN = 5
"""Number of broken images that are named."""
MANY = 10_000
"""Number of images whose check takes a while, so that a line announces it."""


def checked_folder() -> Path:
    """Folder of notes on checked images: an empty file for each set of them."""
    cache = os.environ.get("NNI_DARTS_DATA") or "~/.cache/nni_darts"
    return at_home(cache) / "checked"


def require_readable(paths: Sequence[str]) -> None:
    """Read all images to their ends, on all cores; those that have not changed since, once.

    Raises:
        UnreadableImageError: one line that names those that cannot be read.
    """
    try:
        note = checked_folder() / f"{len(paths)}-{_digest(paths)}"
    except NoHomeError:  # nothing can be noted
        _look(paths)
        return
    with _locked(note.parent):
        if note.exists():
            return
        if len(paths) >= MANY:
            print(f"looking at {len(paths):,} images, once", flush=True)
        _look(paths)
        # Where nothing can be noted, they are looked at again.
        with suppress(OSError):
            note.touch()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock that lets one of several trials check, while the others wait."""
    with ExitStack() as held:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / "lock"))
        yield


def _look(paths: Sequence[str]) -> None:
    # Decoding leaves Python's lock alone.
    with ThreadPoolExecutor() as pool:
        broken = [error for error in pool.map(_error, paths) if error is not None]
    if len(broken) == 1:
        raise UnreadableImageError(f"cannot read the image {broken[0]}; mend it or take it out")
    if broken:
        more = f", and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise UnreadableImageError(
            f"cannot read {len(broken)} images: {', '.join(broken[:SHOWN])}{more}; mend them or "
            "take them out"
        )


def _digest(paths: Sequence[str]) -> str:
    """Digest of the images' names, sizes and times of change."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            state = os.stat(path)
        except OSError:  # a link that leads nowhere; reading it says so
            continue
        name = os.path.abspath(path).encode("utf-8", "surrogateescape")
        digest.update(b"%s\0%d %d\n" % (name, state.st_size, state.st_mtime_ns))
    return digest.hexdigest()


def _error(path: str) -> str | None:
    """Path and error of an image that cannot be read; None if it can."""
    try:
        if not os.path.isfile(path):
            return printable(f"{path} (there is no regular file)")
        read_image(path, only_look=True)
    except Exception as error:  # the decoders raise what they like
        return printable(f"{path} ({error})")
    return None
