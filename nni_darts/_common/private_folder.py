"""The user's own folder in the temporary one, for locks that all processes of a machine share."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from nni_darts._common.validation import SettingsError


def folder() -> Path:
    """A folder where nobody else can put anything, made if need be.

    Raises:
        SettingsError: something else is in its place: a link, another user's folder, or one that
            others may write to.
    """
    # By number: a user of a container need not have a name.
    path = Path(tempfile.gettempdir()) / f"nni_darts-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
        if reason := _foreign(found):
            raise SettingsError(
                [
                    f"{path} must be a folder of your own with the rights 0700, {reason}; remove "
                    "it, or set TMPDIR to another folder"
                ]
            )
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise SettingsError([f"{path}, for locks: {error.strerror}; set TMPDIR"]) from None
    return path


def _foreign(found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no folder"
    if found.st_uid != os.getuid():
        return f"it is of the user {found.st_uid}"
    if found.st_mode & 0o022:
        return f"others may write to it ({stat.S_IMODE(found.st_mode):o})"
    return None
