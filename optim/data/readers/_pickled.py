"""Read the pickles CIFAR is handed out as, without unpickling.

A pickle is a program for a stack machine; two of its instructions call functions by name, and so
run whatever the file's author chose. Here the instructions those files use are *described*: a call
becomes a note that says which function was named, and the only notes that are turned into
something are "an array of bytes" and "its type". Nothing is looked up or called by name, so there
is nothing to allow or to forbid; what is not described is refused.

The binary version of the same data has no such risk. This one is read all the same because it is
the one everybody has: it is what the authors' page lists first and what torchvision keeps.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["read_pickled"]

_MAX_STEPS = 3_000_000
"""Instructions of one file: CIFAR-100 takes 0.5 million, most of them for names of pictures."""

_RECONSTRUCT = {
    "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray _reconstruct",
}
_NDARRAY, _DTYPE, _ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
_NAMES = _RECONSTRUCT | {_NDARRAY, _DTYPE, _ENCODE}

_CONSTANTS: dict[str, Any] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_LITERALS = {
    "BININT",
    "BININT1",
    "BININT2",
    "INT",
    "LONG1",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINFLOAT",
}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT = {"BINPUT", "LONG_BINPUT", "PUT"}
_GET = {"BINGET", "LONG_BINGET", "GET"}


@dataclass(frozen=True)
class _Name:
    """A function that the file named; it is never looked up."""

    text: str


@dataclass
class _Type:
    """The type of an array's elements."""

    text: str


@dataclass
class _Array:
    """An array to be; its state follows."""

    state: tuple[Any, ...] = field(default=())


class _Mark:
    """Where a collection on the stack begins."""


def read_pickled(data: bytes) -> dict[str, Any]:
    """Return the dictionary a file describes: text, numbers, lists, and arrays of bytes.

    Raises:
        ValueError: If the file holds anything else. Its text says what.
    """
    try:
        with warnings.catch_warnings():
            # pickletools decodes what an instruction is given before it is known to be refused.
            warnings.simplefilter("ignore", DeprecationWarning)
            found = _plain(_Machine().run(data))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # What pickletools and numpy say of damage is meant for somebody else.
        text = str(error)
        raise ValueError(text if text.startswith("it ") else "it is damaged") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no dictionary")
    return {_as_text(key): _plain(value) for key, value in found.items()}


class _Machine:
    """The stack, and what was put aside."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """Follow the instructions to the end."""
        for step, (code, argument, _) in enumerate(pickletools.genops(data)):
            if step > _MAX_STEPS:
                raise ValueError("it holds too many instructions")
            if code.name == "STOP":
                return self.stack.pop()
            self._follow(code.name, argument)
        raise ValueError("it ends too early")

    def _follow(self, code: str, argument: Any) -> None:
        stack = self.stack
        if code in _LITERALS:
            # Strings of Python 2 are bytes; pickletools hands them over as Latin-1.
            is_bytes = code in ("BINSTRING", "SHORT_BINSTRING")
            stack.append(argument.encode("latin-1") if is_bytes else argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _PUT:
            self.memo[argument] = stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif code in _GET:
            stack.append(self.memo[argument])
        elif code == "MARK":
            stack.append(_Mark())
        elif code in _TUPLES:
            stack.append(self._last(_TUPLES[code]))
        elif code == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif code in ("APPEND", "APPENDS"):
            items = [stack.pop()] if code == "APPEND" else self._since_mark()
            self._top(list).extend(items)
        elif code in ("SETITEM", "SETITEMS"):
            items = list(self._last(2)) if code == "SETITEM" else self._since_mark()
            # Nested tuples as keys would be hashed again and again, each twice in the next.
            if not all(isinstance(key, str | bytes | int) for key in items[::2]):
                raise ValueError("it has keys that are no names")
            self._top(dict).update(zip(items[::2], items[1::2], strict=True))
        elif code == "GLOBAL":
            stack.append(self._named(argument))
        elif code == "STACK_GLOBAL":
            module, name = self._last(2)
            stack.append(self._named(f"{_as_text(module)} {_as_text(name)}"))
        elif code == "REDUCE":
            arguments = stack.pop()
            stack.append(_described(stack.pop(), arguments))
        elif code == "BUILD":
            state = stack.pop()
            _complete(stack[-1], state)
        elif code not in ("PROTO", "FRAME"):
            raise ValueError(f"it uses the instruction {code}")

    def _named(self, text: str) -> _Name:
        if text not in _NAMES:
            raise ValueError(f"it calls {text.replace(' ', '.')[:80]!r}")
        return _Name(text)

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError("it is damaged")
        return self.stack[-1]

    def _last(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise ValueError("it is damaged")
        items = self.stack[-count:]
        del self.stack[-count:]
        return tuple(items)

    def _since_mark(self) -> list[Any]:
        items = []
        while not isinstance(item := self.stack.pop(), _Mark):
            items.append(item)
        return items[::-1]


def _described(function: Any, arguments: Any) -> Any:
    """Return a note of what a call would have made."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise ValueError("it calls something that is no function")
    if function.text in _RECONSTRUCT and arguments[0] == _Name(_NDARRAY):
        return _Array()
    if function.text == _DTYPE:
        return _Type(_as_text(arguments[0]))
    if function.text == _ENCODE and [type(part) for part in arguments] == [str, str]:
        # How Python 3 writes bytes in an old protocol.
        return arguments[0].encode("latin-1")
    raise ValueError(f"it calls {function.text.replace(' ', '.')!r} in an unusual way")


def _complete(note: Any, state: Any) -> None:
    if isinstance(note, _Array) and isinstance(state, tuple) and len(state) == 5:
        note.state = state
    elif not (isinstance(note, _Type) and isinstance(state, tuple)):
        raise ValueError("it sets the state of something that has none")


def _plain(value: Any) -> Any:
    """Return a note of an array as that array, and everything else as it is."""
    if not isinstance(value, _Array):
        return value
    if not value.state:
        raise ValueError("it holds an array without content")
    _, shape, kind, fortran, content = value.state
    sides = [type(side) is int and side > 0 for side in shape]
    if not isinstance(kind, _Type) or kind.text != "u1" or not sides or not all(sides):
        raise ValueError("it holds an array that is not made of bytes")
    count = 1
    for side in shape:
        count *= side
    if not isinstance(content, bytes) or count != len(content):
        raise ValueError("it holds an array whose size is not that of its content")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise ValueError("it is damaged")
    return value
