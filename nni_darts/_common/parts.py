"""Parts of a method that stand for each other, given as an object, by name, or with options.

A part is one of `finite_difference`, `package.module.Class`, `{name: neumann, terms: 5}` or, in
Python, an object.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from nni_darts._common.classes import imported, is_path, with_place
from nni_darts._common.messages import shown, unknown

T = TypeVar("T")


class Parts(Mapping[str, "type[T]"], Generic[T]):
    """The classes of a kind of part by their names; each is imported when it is asked for.

    Args:
        what: each of them is, as the argument is called.
        base: path of the class that all derive from.
        paths: name -> package.module.Class.
    """

    def __init__(self, what: str, base: str, paths: Mapping[str, str]) -> None:
        self.what = what
        self._base = base
        self._paths = paths

    def __getitem__(self, name: str) -> type[T]:
        return cast("type[T]", imported(self._paths[name], object))

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def named(self, value: object) -> tuple[str, dict[str, Any]]:
        """The name, or path, and the options of a part that is not an object; imports nothing.

        Raises:
            ValueError: in one line, it is of another form or its name is not known.
        """
        name, options = value, {}
        if isinstance(value, Mapping):
            options = {str(key): option for key, option in value.items()}
            if "name" not in options:
                raise ValueError(f"{self.what} lacks a name, as in {{name: {next(iter(self))}}}")
            name = options.pop("name")
        if not isinstance(name, str):
            raise ValueError(f"{self.what} must be given by its name, got {shown(name)}")
        if not (name in self._paths or is_path(name)):
            raise ValueError(unknown(self.what, name, self))
        return name, options

    def make(self, value: object) -> T:
        """The part itself.

        Raises:
            ValueError: in one line, there is none of that name, or it does not take an option.
        """
        base = cast("type[T]", imported(self._base, object))
        if isinstance(value, base):
            return value
        name, options = self.named(value)
        try:
            made = self[name] if name in self._paths else cast(Any, imported(name, base))
        except ValueError as error:
            raise ValueError(f"{self.what}: {error}") from None
        known = inspect.signature(made).parameters
        for option in options:
            if option not in known:
                raise ValueError(unknown(f"option of {self.what} {name},", option, known))
        try:
            return cast(T, made(**options))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.what} {name}: {error}") from None
        except Exception as error:  # it is the user's
            raise ValueError(f"{self.what} {name}: {with_place(error)}") from None

    def make_all(self, name: str, values: object) -> tuple[T, ...]:
        """The parts of a list, in order.

        Raises:
            ValueError: in one line, it is no list, or one of them cannot be made.
        """
        if isinstance(values, str | Mapping) or not isinstance(values, Sequence):
            raise ValueError(
                f"{name} must be a list, as in [{next(iter(self))}], got {shown(values)}"
            )
        return tuple(self.make(value) for value in values)
