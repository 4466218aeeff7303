"""The search step as a CUDA graph: captured once, then launched as a whole.

A step of the search launches thousands of kernels, each from Python. A captured step is launched at
once: the batches are copied to where those of the capture lay, the same kernels run on the same
memory, and what Python does besides (logs, metrics, counters) is done again afterwards.

What a replay cannot do as the step itself would is not captured: the step then runs as usual, with
the same result, and one line says why. What is not seen: whatever else Python does inside the
user's `training_step`, in a hook of the backward pass or of the optimiser. It is done when the step
is captured, and not in the replays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from pytorch_lightning import Callback
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_flatten, tree_leaves

from nni_darts.search import random_state
from nni_darts.search.side_effects import HostCall, copies, detached, recorded, replaced
from nni_darts.supernet.relaxation import OneHot

REHEARSALS = 3
"""Steps that run as usual before one like them is captured: what is made at first use (momentum,
the handles of libraries) must not be made in the capture."""

T = TypeVar("T")


class Capturing(Protocol):
    """Interface of a device that captures steps; the tests have one for the CPU."""

    def refusal(self, device: torch.device) -> str | None:
        """Reason why nothing can be captured on the device; None if it can."""

    def prepare(self, optimizer: Optimizer) -> None:
        """Make the optimiser such that its step can be captured."""

    def rehearsing(self) -> AbstractContextManager[Any]:
        """Context of the steps before a capture."""

    def capture(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """Capture work; returns a function that launches it anew, and the result without values."""


class Cuda:
    """CUDA graphs."""

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    def refusal(self, device: torch.device) -> str | None:
        return None if device.type == "cuda" else f"there is no CUDA device, but {device.type}"

    def prepare(self, optimizer: Optimizer) -> None:
        capturable(optimizer, True)

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        # Not on the default stream: what autograd keeps of it would end up in the capture.
        self._stream = self._stream or torch.cuda.Stream()
        outer = torch.cuda.current_stream()
        self._stream.wait_stream(outer)
        with torch.cuda.stream(self._stream):
            yield
        outer.wait_stream(self._stream)

    def capture(self, work: Callable[[], T]) -> tuple[Callable[[], None], T]:
        graph = torch.cuda.CUDAGraph()
        # A loader's thread may pin memory meanwhile: that must not spoil the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = work()
        return graph.replay, result


def capturable(optimizer: Optimizer, wanted: bool) -> None:
    """Let an optimiser that can keep all its state on the device do so, or not.

    A checkpoint brings the choice of the run that wrote it, and on the CPU it is an error.
    """
    for group in optimizer.param_groups:
        if group.get("capturable", wanted) == wanted:
            continue
        group["capturable"] = wanted
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if isinstance(step := state.get("step"), Tensor):
                state["step"] = step.to(parameter.device if wanted else "cpu")


@dataclass(frozen=True)
class _Key:
    """Key of a capture; a step that differs in it is captured separately."""

    batch: Any
    """Structure, shapes, strides, types, and what is not a tensor."""
    settings: list[Any]
    """Settings of the optimisers, the learning rates among them."""
    searching: bool
    """True if alpha is learnt in the step, False if it rests."""
    parts: tuple[Any, ...]
    """Parts of the method, with the options that they have in this epoch."""
    places: list[int]
    """Addresses of the parameters in memory."""


@dataclass(frozen=True)
class _Captured:
    key: _Key
    batch: Any
    replay: Callable[[], None]
    calls: list[HostCall]
    output: Any


class StepGraph:
    """Runs the steps of a search, captured where that is possible.

    Args:
        module: the search: its `step(batch, batch_idx)` is what runs on the device, and all that it
            does besides goes through its `log` and `see`, or is the user's module's.
        capturing: the device's part.
        say: takes the lines.
    """

    def __init__(
        self,
        module: Any,
        capturing: Capturing | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._module = module
        self._capturing = Cuda() if capturing is None else capturing
        self._say = say or (lambda line: print(line, flush=True))
        self._said: set[str] = set()
        self._off = self._begun = False
        self._captured: _Captured | None = None
        self._last: tuple[_Key, int] | None = None
        self._rehearsals = 0

    def step(self, batch: Any, batch_idx: int) -> Any:
        """Run `module.step(batch, batch_idx)`, by a replay where that is possible."""
        if not self._begun:
            self._begin()
        if self._off:
            return self._module.step(batch, batch_idx)
        for value in tree_leaves(batch):
            if not isinstance(value, Tensor | str | int | float | None):
                self._give_up(
                    f"a batch holds a {type(value).__name__}, which replays cannot renew as they "
                    "do tensors"
                )
                return self._module.step(batch, batch_idx)
        key = self._key(batch)
        if self._captured is not None and self._captured.key == key:
            self._rehearsals = 0
            return self._replay(self._captured, batch)
        self._compare(key)
        if self._rehearsals < REHEARSALS:
            self._rehearsals += 1
            return self._rehearse(batch, batch_idx)
        self._captured = None  # and its memory
        self._captured = self._capture(key, batch, batch_idx)
        if self._captured is None:
            return self._module.step(batch, batch_idx)
        return self._replay(self._captured, batch)

    def close(self) -> None:
        """Free the memory of the captured steps."""
        self._captured = None

    def _begin(self) -> None:
        self._begun = True
        module = self._module
        reason = self._capturing.refusal(module.device)
        if module.penalty is not None:
            reason = reason or "the penalty is logged as numbers, which replays cannot renew"
        mixture = module.method.mixture
        if mixture is not None and isinstance(mixture.scheduled, OneHot):
            name = type(mixture.scheduled).__name__
            reason = reason or f"{name} draws in each pass which operations run"
        hooks = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
        for callback in module.trainer.callbacks:
            for hook in (*hooks, "on_before_zero_grad"):
                if getattr(type(callback), hook) is not getattr(Callback, hook):
                    name = type(callback).__name__
                    reason = reason or f"{name}.{hook} is called within a step"
        if reason is not None:
            self._give_up(reason)
            return
        for optimizer in module.trainer.optimizers:
            self._capturing.prepare(optimizer)

    def _give_up(self, reason: str) -> None:
        self._off = True
        self._captured = None
        self._tell(f"{reason}; the steps run as usual")

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(f"cuda_graphs: {text}")

    def _key(self, batch: Any) -> _Key:
        leaves, structure = tree_flatten(batch)
        shapes = [
            (x.shape, x.stride(), x.dtype, x.device) if isinstance(x, Tensor) else x for x in leaves
        ]
        settings = [
            # Asking a tensor for its value would wait for the device.
            [(name, id(v) if isinstance(v, Tensor) else v) for name, v in group.items()]
            for optimizer in self._module.trainer.optimizers
            for group in _settings(optimizer)
        ]
        places = [p.data_ptr() for p in self._module.parameters()]
        module = self._module
        return _Key((structure, shapes), settings, module.searching, module.parts_now, places)

    def _compare(self, key: _Key) -> None:
        """Count equal steps in a row, and report what keeps changing between them."""
        epoch = self._module.trainer.current_epoch
        last, self._last = self._last, (key, epoch)
        if last is None or last[0] != key:
            self._rehearsals = 0
        known = self._captured.key if self._captured is not None else last and last[0]
        if known and known.batch != key.batch:
            self._tell("a batch of another shape than the others runs as usual")
        if last and last[1] == epoch and last[0].settings != key.settings:
            self._tell(
                "the learning rate changes within an epoch, and a capture holds one; "
                "a step with a new one runs as usual"
            )

    def _rehearse(self, batch: Any, batch_idx: int) -> Any:
        before = random_state.get_state()
        with self._capturing.rehearsing():
            output = self._module.step(batch, batch_idx)
        if not random_state.same(before, random_state.get_state()):
            self._give_up(
                "a step draws random numbers (dropout?), and a replay could not draw those of w+ "
                "again for w-"
            )
        return output

    def _capture(self, key: _Key, batch: Any, batch_idx: int) -> _Captured | None:
        static = copies(batch)
        module = self._module
        before = [_known(o) for o in module.trainer.optimizers]

        def work() -> tuple[list[HostCall], Any]:
            inner = module.training_module
            functions = [(module, "log"), (inner, "log"), (module, "see")]
            with random_state.at_rest(), _steps_uncounted(module):
                with recorded(inner, functions) as calls:
                    output = module.step(static, batch_idx)
            return calls, detached(output)

        # Autocast keeps copies of the weights; those of before and of the capture must not mix.
        torch.clear_autocast_cache()
        try:
            replay, (calls, output) = self._capturing.capture(work)
        except Exception as error:
            # Ending a capture that failed fails too.
            first = error.__context__ or error
            line = next(iter(str(first).splitlines()), "") or type(first).__name__
            self._give_up(f"the step cannot be captured ({line})")
            return None
        finally:
            torch.clear_autocast_cache()
        if any([_forget(o, b) for o, b in zip(module.trainer.optimizers, before, strict=True)]):
            self._give_up("an optimiser makes new state in a later step, which replays would reset")
            return None
        return _Captured(key, static, replay, calls, output)

    def _replay(self, captured: _Captured, batch: Any) -> Any:
        for static, new in zip(tree_leaves(captured.batch), tree_leaves(batch), strict=True):
            if isinstance(static, Tensor):
                static.copy_(new, non_blocking=True)
        with ExitStack() as stack:
            for optimizer in _counting(self._module):
                optimizer._on_before_step()
                stack.callback(optimizer._on_after_step)
            captured.replay()
        for call in captured.calls:
            call.again()
        return copies(captured.output)


def _settings(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]


def _counting(module: Any) -> list[Any]:
    """Lightning's wrappers of the weights' optimiser, which count its steps."""
    found = module.optimizers()
    found = found if isinstance(found, list) else [found]
    return [o for o in found if not getattr(o, "is_arch_optimizer", False)]


@contextmanager
def _steps_uncounted(module: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for optimizer in _counting(module):
            for name in ("_on_before_step", "_on_after_step"):
                stack.enter_context(replaced(optimizer, name, lambda: None))
        yield


def _known(optimizer: Optimizer) -> dict[Any, set[str]]:
    """Names of the state that the optimiser keeps for each parameter."""
    return {p: {k for k, v in s.items() if v is not None} for p, s in optimizer.state.items()}


def _forget(optimizer: Optimizer, known: dict[Any, set[str]]) -> bool:
    """Drop the state added since `known`; returns whether there was any."""
    new = [
        (parameter, name)
        for parameter, names in _known(optimizer).items()
        for name in names - known.get(parameter, set())
    ]
    for parameter, name in new:
        del optimizer.state[parameter][name]
    for parameter in {p for p, _ in new}:
        if not optimizer.state[parameter]:
            del optimizer.state[parameter]
    return bool(new)
