"""Settings as they may be shown: without passwords, tokens and keys, told by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

LEFT_OUT = "(left out)"

_ANYWHERE = re.compile(
    "password|passwd|passphrase|passcode|secret|credential|authorization|cookie"
    "|(api|app|access|account|private|signing|encryption|auth|wandb|client|shared|deploy|master"
    "|subscription|aws|s3|azure|gcp|hf|openai)key"
)
_AT_THE_END = re.compile("(?:.*)tokens?|pwd|pin|bearer|pass|pat|auth|jwt|.*pwd")
_OF_A_VOCABULARY = re.compile("(pad|unk|bos|eos|cls|sep|mask|start|end|special|stop)_?tokens?")
"""Words of a tokenizer's vocabulary, which are not secret."""
_OF_A_SHELL = re.compile(r"(?:[A-Z0-9]+_)*(?:[A-Z0-9]*KEY)")
"""Names of shell variables: S3_KEY, but not label_key."""

_WORD = r"""(?:\$\([^)]{0,299}\)|"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\;|)])+"""
"""A word of a shell, or what is left of one that does not end."""
_VALUE = re.compile(rf"(?:(?:bearer|basic|digest|token)\s+)?{_WORD}|[\"']", re.IGNORECASE)
_HEAD = re.compile(
    # In a header or a mapping, in an assignment, after a flag.
    r"""(?<![\w.-])(?P<flag>--?)?(?P<name>\w[\w.-]*)"""
    r"""(?:(?P<colon>["']?\s*:\s*)|\s*=\s*|(?(flag)\s+(?!--?[A-Za-z])|(?!)))"""
)
_IN_AN_ADDRESS = re.compile(
    r"(?<=://)(?:[^\s/?#]{0,299}@|[^\s/:@]{1,99}:(?!\d+(?:/|\s|$))[^\s@]{0,199}@)"
)
_BEARER = re.compile(rf"\b(?P<scheme>bearer\s+)(?!'?{re.escape(LEFT_OUT)}){_WORD}", re.IGNORECASE)
_USER = re.compile(r"""(?<!\S)(?P<flag>-u|--user)(?P<between>\s+|=)(?P<who>["']?[^\s"':]+:)\S+""")


def is_secret(name: object) -> bool:
    """True if what has this name is for the user alone: `sshPassphrase`, `WANDB_API_KEY`."""
    text = str(name)
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])", text)
    joined = "".join(words).lower()
    last = words[-1].lower() if words else ""
    if _OF_A_VOCABULARY.fullmatch("_".join(words).lower()):
        return False
    return bool(
        _ANYWHERE.search(joined) or _AT_THE_END.fullmatch(last) or _OF_A_SHELL.fullmatch(text)
    )


def redacted(value: Any, name: object = "") -> Any:
    """A copy of settings without what is secret.

    Args:
        value: settings of any kind, also lists and mappings of such.
        name: name of the value.
    """
    if is_secret(name) and value is not None and not isinstance(value, bool):
        # max_tokens and the like are counted.
        counted = isinstance(value, int | float) and str(name).lower().endswith("tokens")
        return value if counted else LEFT_OUT
    if isinstance(value, Mapping):
        # As containers have their environment: {name: TOKEN, value: x}.
        named = value.get("name", "")
        return {
            key: redacted(item, _full_name(name, named if key == "value" else "", key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return _redacted_items(value)
    return redacted_text(value) if isinstance(value, str) else value


def _full_name(parent: object, named: object, key: object) -> object:
    """The name under which a value of a mapping is judged."""
    if is_secret(key):
        return key
    return next((n for n in (named, f"{parent}_{key}") if n and is_secret(n)), key)


def _redacted_items(items: Iterable[Any]) -> list[Any]:
    """Copies of the items, also of a command given word by word: ["--token", "x"]."""
    shown: list[Any] = []
    before: object = ""
    for item in items:
        flag = str(before) if re.fullmatch(r"--?[A-Za-z][\w.-]*", str(before)) else ""
        is_flag = isinstance(item, str) and item.startswith("-")
        shown.append(redacted(item, "" if is_flag else flag.lstrip("-")))
        before = item
    return shown


def redacted_text(text: str) -> str:
    """A command or an address without what is secret in it.

    `TOKEN=x`, `--token x`, `://me:x@`, `Authorization: Bearer x`, `-u me:x`.
    """
    text = _IN_AN_ADDRESS.sub(f"{LEFT_OUT}@", text)
    text = _without_named(text)
    text = _BEARER.sub(rf"\g<scheme>'{LEFT_OUT}'", text)
    return _USER.sub(rf"\g<flag>\g<between>\g<who>{LEFT_OUT}", text)


def _without_named(text: str) -> str:
    parts, end = [], 0
    while (head := _HEAD.search(text, end)) is not None:
        parts.append(text[end : head.end()])
        end = head.end()
        value = _VALUE.match(text, end) if is_secret(head["name"]) else None
        if value is not None:
            parts.append(LEFT_OUT if head["colon"] else f"'{LEFT_OUT}'")
            end = value.end()
    return "".join([*parts, text[end:]])
