"""Devices that a trial runs on.

NNI's own placement does not work on a machine with one GPU, so that trials choose for themselves.
A GPU is free when no other trial of ours on this machine holds its lock and its memory is mostly
unused. The lock is the operating system's: it goes with the process, however that ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from nni_darts._common import limits, private_folder
from nni_darts._common.checks import size

MOSTLY_UNUSED = 0.1
"""Share of the memory that a free GPU may have in use: a desktop's, a monitor's."""

SECONDS_BETWEEN_TRIES = 1.0


@dataclass(frozen=True)
class Gpu:
    """A GPU that this process may use."""

    index: int
    name: str
    """Name of the GPU, the same in all processes of the machine."""
    used: float
    """Share of its memory in use, in [0, 1]."""


@contextmanager
def free_devices(
    count: int = 1, gpus: Sequence[Gpu] | None = None, locks: Path | None = None
) -> Iterator[list[torch.device]]:
    """Hold `count` free GPUs, or the CPU alone where there is no GPU to wait for.

    Where other trials hold every GPU that could be used, it waits for one: on the CPU a trial would
    take longer than all that come before it.

    Args:
        count: number of GPUs.
        gpus: GPUs to choose from; by default the visible ones.
        locks: the folder of the lock files; by default the user's own, see
            `nni_darts._common.private_folder`.

    Raises:
        ValueError: some are free, but fewer than `count`.
        SettingsError: the folder of the locks is not the user's alone.
    """
    count = size("devices", count, 1, limits.DEVICES)
    told = False
    while True:
        with ExitStack() as held:
            devices, others = _held(count, gpus, locks, held)
            # Those that can be had are let go meanwhile: two trials that each kept one and waited
            # for another would wait for ever.
            if len(devices) == count or not others:
                if devices and len(devices) < count:
                    raise ValueError(
                        f"devices must be at most {len(devices)}, the free GPUs, got {count}"
                    )
                yield devices or [torch.device("cpu")]
                return
        if not told:
            print(f"waiting for a GPU: other trials hold {others}", flush=True)
            told = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _held(
    count: int, gpus: Sequence[Gpu] | None, locks: Path | None, held: ExitStack
) -> tuple[list[torch.device], int]:
    """GPUs that could be had, up to `count`, and the number of GPUs that other trials hold."""
    devices: list[torch.device] = []
    others = 0
    for gpu in visible_gpus() if gpus is None else gpus:
        if len(devices) == count:
            break
        if locks is None:
            locks = private_folder.folder()
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{gpu.name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            others += 1
            continue
        if gpu.used > MOSTLY_UNUSED:
            lock.release()
            continue
        held.callback(lock.release)
        devices.append(torch.device("cuda", gpu.index))
    return devices, others


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA shows this process, in its order."""
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        # The driver's own figure: asking CUDA would take memory on every GPU.
        used = torch.cuda.device_memory_used(index)
        gpus.append(Gpu(index, str(properties.uuid), used / properties.total_memory))
    return gpus
