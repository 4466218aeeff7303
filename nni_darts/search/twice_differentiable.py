"""Second derivatives of a network: the kernel they need, and the error where there are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

_NOT_IMPLEMENTED = re.compile(
    r"derivative for '?(?:aten::)?(?P<operation>\w+?)(?:_backward)?'? is not implemented"
    r"|differentiate twice (?P<function>a function)"
)


@contextmanager
def differentiated_twice(name: str, instead: str | None = None) -> Iterator[None]:
    """Context in which attention uses the one kernel of torch that has a second derivative.

    Args:
        name: Hypergradient, for the message; or whatever else, with `instead`.
        instead: What to do where an operation has none.

    Raises:
        ValueError: in place of torch's error for an operation that has none.
    """
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except RuntimeError as error:
        found = _NOT_IMPLEMENTED.search(str(error))
        if found is None:
            raise
        what = name if instead else f"hypergradient={name!r}"
        instead = instead or "choose hypergradient='finite_difference' or 'first_order'"
        operation = found["operation"] or "a function marked with @once_differentiable"
        raise ValueError(
            f"{what} differentiates twice, which torch cannot do for {operation}; "
            f"{instead}, or leave the operation out"
        ) from None
