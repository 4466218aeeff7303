"""Checkpoints that are never half written, not even on a full disk."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from nni_darts._common import folder


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint writer of Lightning that writes beside the file, then replaces it as a whole.

    A full disk, a crash or a kill while it writes leaves the previous checkpoint as it was.
    Lightning's own writes to the folder for temporary files, which may be another file system: the
    way from there is a copy, and a copy can stop half-way.

    Args:
        kept: name of a checkpoint -> the name, in the same folder, under which the one that it
            replaces is kept.
    """

    def __init__(self, kept: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._kept = kept or {}

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Replace the file at `path`, whose folder is made where it is missing.

        Args:
            checkpoint: state that `torch.save` takes.
            path: a local path; a URL ("s3://...") is written in Lightning's way.
            storage_options: not taken, as in Lightning's own.

        Raises:
            OSError: one line, for what could not be written; no part of it is left behind.
            TypeError: for `storage_options`.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # Not straight into the file: torch hides what the disk says behind an error of its own.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        target = Path(path)
        try:
            place = folder.at(target.parent)
            place.make()
            place.replace(target.name, buffer.getbuffer(), self._kept.get(target.name))
        except OSError as error:
            exists = "the checkpoint before it is whole"
            before = exists if target.is_file() else "there is none before it"
            raise OSError(
                error.errno,
                f"cannot write the checkpoint {target} ({error.strerror}); {before}: make room "
                "(or put right what the system says) and run again",
            ) from error
