"""Reads the YAML file of a user: plain values only, each key once, of a bounded size.

Aliases and merges (`<<: *name`) are followed; what they expand to is bounded as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from nni_darts._common import limits
from nni_darts._common.files import read_regular

Place: TypeAlias = tuple[str, ...]
"""The keys, and positions in lists, that lead to a value."""

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_SCALARS = tuple(f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null"))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class YamlError(ValueError):
    """Mistake in a file, in one line that follows the file's name."""


def read(path: Path) -> dict[str, Any]:
    """The keys that a YAML file holds, with their values.

    Raises:
        YamlError: it is not such a file.
        nni_darts._common.files.DamagedError: it is no regular file, or too large.
        OSError: it cannot be read.
    """
    return parse(read_regular(path, limits.YAML_SIZE))


def parse(content: bytes) -> dict[str, Any]:
    """Keys and values of a YAML file, from its bytes. Raises as `read`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise YamlError("is not a text file in UTF-8") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as error:
        raise YamlError(f"is not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:  # an escape that is no character, say
        raise YamlError(f"is not valid YAML: {error}") from None
    if not isinstance(node, yaml.MappingNode):
        raise YamlError(f"must hold the keys of an NNI experiment, got {_kind(node)}")
    values: dict[str, Any] = _Values(loader).of(node, ())
    return values


class _Loader(yaml.SafeLoader):
    """Loader that composes nodes up to a bounded depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > limits.YAML_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {limits.YAML_DEPTH} levels deep",
                problem_mark=self.get_mark(),
            )
        node = super().compose_node(parent, index)
        self.depth -= 1
        assert node is None or isinstance(node, yaml.Node)
        return node


class _Values:
    """Builder of values from nodes, which bounds the size of all of them together."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._size = 0

    def of(self, node: yaml.Node, place: Place) -> Any:
        """The value of a node. Raises YamlError."""
        self._count(node, place)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return {
                name: self.of(value, (*place, name))
                for name, value in self._pairs(node, place).items()
            }
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.of(item, (*place, str(i))) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self._scalar(node, place)
        if node.tag == f"{_TAG}timestamp":
            raise _wrong(node, place, f"YAML takes {node.value!r} for a date; put it in quotes")
        tag = node.tag.replace(_TAG, "!!")
        raise _wrong(node, place, f"a value of the kind {tag[:100]!r} is not allowed here")

    def _count(self, node: yaml.Node, place: Place) -> None:
        self._size += 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        if self._size > limits.YAML_EXPANDED:
            what = f"aliases expand to more than {limits.YAML_EXPANDED} characters and values"
            raise _wrong(node, place, what)
        if len(place) > limits.YAML_DEPTH:
            raise _wrong(node, place[:3], f"nested more than {limits.YAML_DEPTH} levels deep")

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, KeyError, yaml.YAMLError):  # such as `!!int x`, or 5,000 digits
            value = math.nan
        if isinstance(value, int) and abs(value) > limits.NUMBER:
            raise _wrong(node, place, f"a whole number must be within +-{limits.NUMBER}")
        if isinstance(value, float) and not math.isfinite(value):
            # NNI passes all on as JSON, which has no others.
            raise _wrong(node, place, f"expected a finite number, got {node.value[:40]!r}")
        if isinstance(value, str):
            if "\0" in value:
                raise _wrong(node, place, "the text holds a null character")
            if any("\ud800" <= c <= "\udfff" for c in value):
                raise _wrong(node, place, "the text holds half a character (a surrogate)")
        return value

    def _pairs(self, node: yaml.MappingNode, place: Place) -> dict[str, yaml.Node]:
        """Nodes of a mapping's own keys, and of those that it merges and does not define itself."""
        own: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        merged: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in _sources(value, place):
                    self._count(source, (*place, "<<"))
                    merged = {**self._pairs(source, (*place, "<<")), **merged}
                continue
            name = _name(key, place)
            line = key.start_mark.line + 1
            if name in own:
                dotted = ".".join((*place, name))
                raise YamlError(f"{dotted}: given twice, in lines {lines[name]} and {line}")
            own[name], lines[name] = value, line
        return {**merged, **own}


def _sources(node: yaml.Node, place: Place) -> Iterator[yaml.MappingNode]:
    """Mappings that a merge names, the most important first."""
    for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(each, yaml.MappingNode):
            raise _wrong(each, (*place, "<<"), f"only keys can be merged, got {_kind(each)}")
        yield each


def _name(key: yaml.Node, place: Place) -> str:
    if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
        shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else _kind(key)
        raise _wrong(key, place, f"a key must be a text, got {shown[:60]}; put it in quotes")
    if not key.value or len(key.value) > limits.KEY or _CONTROL.search(key.value):
        shown = f"{key.value[:40]!r}"
        raise _wrong(key, place, f"a key must have 1 to {limits.KEY} characters, got {shown}")
    return str(key.value)


def _kind(node: yaml.Node | None) -> str:
    if node is None:
        return "an empty file"
    if isinstance(node, yaml.ScalarNode):
        return f"{node.value[:40]!r}" if node.value else "nothing"
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys"


def _wrong(node: yaml.Node, place: Place, what: str) -> YamlError:
    line = f"line {node.start_mark.line + 1}: {what}"
    return YamlError(f"{'.'.join(place)}: {line}" if place else line)
