"""Caches bounded by bytes, least recently used out first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

__all__ = ["ByteCache", "bytes_of"]

T = TypeVar("T")


def bytes_of(value: Any) -> int:
    """Return about how many bytes a value holds: arrays, tensors, texts, and what they make up."""
    if isinstance(value, bytes | str):
        return len(value)
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(bytes_of(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(bytes_of(part) for part in value)
    if is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    return _SMALL


_SMALL = 64


class ByteCache:
    """Keeps values by key until their sizes add up to more than a limit.

    Args:
        limit: Bytes kept at most.
        size_of: Returns the bytes of a value.
    """

    def __init__(self, limit: int, size_of: Callable[[Any], int]) -> None:
        self.limit = limit
        self.used = 0
        self._size_of = size_of
        self._values: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Any:
        """Return a value or None, and count it as used."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: str, value: T) -> T:
        """Keep a value; one larger than the limit is not kept. Returns it."""
        size = self._size_of(value)
        if key in self._values:
            self.used -= self._values.pop(key)[1]
        if size <= self.limit:
            self._values[key] = (value, size)
            self.used += size
        while self.used > self.limit:
            _, (_, dropped) = self._values.popitem(last=False)
            self.used -= dropped
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.used = 0

    def get_or(self, key: str, compute: Callable[[], T]) -> T:
        """Return the value of a key, computing and keeping it where it is missing."""
        found: T | None = self.get(key)
        return self.put(key, compute()) if found is None else found
