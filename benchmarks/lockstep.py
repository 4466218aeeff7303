"""Several trainings in one process, a step of each in turn."""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from queue import SimpleQueue
from typing import Protocol

import torch


class Probe(Protocol):
    """What is told of every step of a training."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


Fit = Callable[[Probe, int], None]
"""Trains for so many steps, each between the probe's `begin` and `end`."""


class Stopped(BaseException):
    """Raised in a training whose next steps nobody wants."""


class Turns:
    """A training that rests after every step, in the middle of its trainer's loop.

    It runs in a thread of its own, but only while `step` waits for it. What it sets for the whole
    process (determinism, TF32, the choice of algorithms) is in force during its own steps alone.

    Args:
        fit: the training.
        probe: told of every step.
        steps: how many there will be at most.
    """

    def __init__(self, fit: Fit, probe: Probe, steps: int) -> None:
        self._fit = fit
        self._probe = probe
        self._steps = steps
        self._flags = _flags()
        self._num_threads = torch.get_num_threads()
        self._go: SimpleQueue[bool] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        # As a daemon it does not keep alive a process that fails.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """One step; the first with all that comes before. Raises what the training raises."""
        self._go.put(True)
        error = self._done.get()
        if error is not None:
            raise error

    def close(self) -> None:
        """Leave the rest of the training out."""
        self._go.put(False)
        self._thread.join()

    # In the thread: the training, which takes this object for its probe.

    def _run(self) -> None:
        torch.set_num_threads(self._num_threads)
        try:
            self._wait()
            self._fit(self, self._steps)
            raise RuntimeError(f"the training ended before its {self._steps} steps")
        except BaseException as error:
            self._done.put(error)

    def _wait(self) -> None:
        if not self._go.get():
            raise Stopped
        _set_flags(self._flags)

    def begin(self) -> None:
        self._probe.begin()

    def end(self) -> None:
        self._probe.end()
        self._flags = _flags()
        self._done.put(None)
        self._wait()


def interleaved(
    fits: Mapping[str, Fit], probes: Mapping[str, Probe], rounds: int, warm_up: int
) -> None:
    """First `warm_up` steps of each training, then rounds of one step of each.

    Every other round goes backwards, so that a machine that slows down favours none.
    """
    _share_memory()
    with ExitStack() as stack:
        turns = {
            name: stack.enter_context(closing(Turns(fit, probes[name], warm_up + rounds)))
            for name, fit in fits.items()
        }
        for one in turns.values():
            for _ in range(warm_up):
                one.step()
        for number in range(rounds):
            for one in list(turns.values())[:: -1 if number % 2 else 1]:
                one.step()


def _share_memory() -> None:
    """Let all threads take their memory from one place.

    glibc gives each thread its own and hands nothing back: each training would keep what its step
    needed at most. With one place for all they use the same memory in turn, as in one thread.
    """
    arena_max = -8  # M_ARENA_MAX in malloc.h
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(arena_max, 1)


def first_steps(fit: Fit, probe: Probe, steps: int) -> None:
    """So many steps of one training, in this thread, and nothing of what comes after them."""

    class Counting:
        left = steps

        def begin(self) -> None:
            probe.begin()

        def end(self) -> None:
            probe.end()
            self.left -= 1
            if self.left == 0:
                raise Stopped

    try:
        fit(Counting(), steps)
    except Stopped:
        return
    raise RuntimeError(f"the training ended before its {steps} steps")


_Flags = tuple[bool, bool, bool, bool, bool, str]


def _flags() -> _Flags:
    cudnn = torch.backends.cudnn
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
    )


def _set_flags(flags: _Flags) -> None:
    cudnn = torch.backends.cudnn
    deterministic, warn_only, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul = flags
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.set_float32_matmul_precision(matmul)
