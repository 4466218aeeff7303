"""Settings as they may be shown: without passwords, tokens and keys, told by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LEFT_OUT = "(left out)"

_ANYWHERE = re.compile(
    "password|passwd|passphrase|passcode|secret|credential|authorization"
    "|(api|access|account|private|signing|encryption|auth|wandb)key"
)
_AT_THE_END = re.compile("tokens?|pwd|pin|bearer")
_ASSIGNED = re.compile(
    r"""(?P<name>[A-Za-z_][\w-]*)=(?P<value>"[^"]*"|'[^']*'|[^\s"']+)"""
    r"""|--?(?P<flag>[A-Za-z][\w-]*)\s+(?!-)(?P<given>"[^"]*"|'[^']*'|[^\s"']+)"""
)
_IN_AN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")


def is_secret(name: object) -> bool:
    """Whether what has this name is for the user alone: `sshPassphrase`, `WANDB_API_KEY`."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])", str(name))
    joined = "".join(words).lower()
    last = words[-1].lower() if words else ""
    return bool(_ANYWHERE.search(joined) or _AT_THE_END.fullmatch(last))


def redacted(value: Any, name: object = "") -> Any:
    """A copy of settings without what is secret.

    Args:
        value: of any kind, also lists and mappings of such.
        name: of the value.
    """
    if is_secret(name) and value is not None and not isinstance(value, bool):
        # max_tokens and the like are counted.
        counted = isinstance(value, int | float) and str(name).lower().endswith("tokens")
        return value if counted else LEFT_OUT
    if isinstance(value, Mapping):
        return {key: redacted(item, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return redacted_text(value) if isinstance(value, str) else value


def redacted_text(text: str) -> str:
    """A command or an address without what is secret in it: `TOKEN=x`, `--token x`, `://me:x@`."""
    return _IN_AN_ADDRESS.sub(f"{LEFT_OUT}@", _ASSIGNED.sub(_shown, text))


def _shown(found: re.Match[str]) -> str:
    name, group = (found["name"], "value") if found["name"] else (found["flag"], "given")
    if not is_secret(name):
        # What follows may be an assignment, too.
        return found[0] if group == "value" else _again(found)
    start = found.start(group) - found.start()
    return f"{found[0][:start]}'{LEFT_OUT}'"


def _again(found: re.Match[str]) -> str:
    start = found.start("given") - found.start()
    return found[0][:start] + _ASSIGNED.sub(_shown, found["given"])
