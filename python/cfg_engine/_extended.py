"""Types beyond JSON: what they stand for, and which class shows them.

With ``bson`` (it comes with pymongo) its classes are used, so that what a driver gave can be handed on.
Without it the classes here stand in. Nothing of this is imported before the first such value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date as _date
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

Reader = Callable[[Any], "tuple[Any, ...] | None"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_DAY = 86_400_000
_EARLIEST = -62_135_596_800_000
_LATEST = 253_402_300_799_999


class _Plain:
    """A value by its parts: equal parts, equal values."""

    __slots__: tuple[str, ...] = ()

    def _parts(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self._parts()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts()))})"

    def __getstate__(self) -> tuple[Any, ...]:
        return self._parts()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(self.__slots__, state):
            setattr(self, name, value)


class ObjectId(_Plain):
    """An object id of MongoDB, where ``bson`` is not installed."""

    __slots__ = ("binary",)

    def __init__(self, oid: str | bytes) -> None:
        self.binary = bytes.fromhex(oid) if isinstance(oid, str) else bytes(oid)
        if len(self.binary) != 12:
            raise ValueError("an object id has 12 bytes, or 24 hex digits")

    def __str__(self) -> str:
        return self.binary.hex()

    def __repr__(self) -> str:
        return f"ObjectId('{self}')"


class Decimal128(_Plain):
    """A 128-bit decimal, where ``bson`` is not installed."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def to_decimal(self) -> Decimal:
        return Decimal(self.text)

    def __str__(self) -> str:
        return self.text


class Binary(bytes):
    """Bytes of a subtype, where ``bson`` is not installed. Plain ``bytes`` are subtype 0, a UUID is 4."""

    subtype: int

    def __new__(cls, data: bytes, subtype: int = 0) -> Binary:
        self = super().__new__(cls, data)
        self.subtype = subtype
        return self

    def __getnewargs__(self) -> tuple[bytes, int]:  # type: ignore[override]
        return bytes(self), self.subtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Binary) and self.subtype == other.subtype and bytes.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((bytes(self), self.subtype))


class Timestamp(_Plain):
    """MongoDB's own timestamp, where ``bson`` is not installed."""

    __slots__ = ("inc", "time")

    def __init__(self, time: int, inc: int) -> None:
        self.time, self.inc = time, inc

    def __repr__(self) -> str:
        return f"Timestamp({self.time}, {self.inc})"


class Regex(_Plain):
    """A regular expression as MongoDB keeps it."""

    __slots__ = ("options", "pattern")

    def __init__(self, pattern: str, options: str = "") -> None:
        self.pattern, self.options = pattern, options


class Code(_Plain):
    """JavaScript code, where ``bson`` is not installed."""

    __slots__ = ("code", "scope")

    def __init__(self, code: str, scope: Mapping[str, Any] | None = None) -> None:
        self.code = code
        self.scope = dict(scope) if scope is not None else None

    def __hash__(self) -> int:
        return hash(("Code", self.code))


class Symbol(_Plain):
    """BSON's symbol."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class DbPointer(_Plain):
    """BSON's pointer to a document of another collection."""

    __slots__ = ("id", "namespace")

    def __init__(self, namespace: str, id: bytes) -> None:
        self.namespace, self.id = namespace, id


class MinKey(_Plain):
    """Less than every other value, where ``bson`` is not installed."""


class MaxKey(_Plain):
    """Greater than every other value, where ``bson`` is not installed."""


class Undefined(_Plain):
    """BSON's undefined."""


class DatetimeMS(_Plain):
    """Milliseconds since 1970 that no ``datetime`` can hold, where ``bson`` is not installed."""

    __slots__ = ("millis",)

    def __init__(self, millis: int) -> None:
        self.millis = millis

    def __int__(self) -> int:
        return self.millis


class StoreValue(_Plain):
    """A value of a store's own type, such as an interval of PostgreSQL, as that store prints it."""

    __slots__ = ("text", "type")

    def __init__(self, type: str, text: str) -> None:
        self.type, self.text = type, text

    def __repr__(self) -> str:
        return f"StoreValue({self.type!r}, {self.text!r})"


# --- in ----------------------------------------------------------------------------------------------


def simplify(value: Any) -> tuple[Any, ...] | None:
    """Say what a value stands for, as its kind and parts; nothing for a type that no document can hold."""
    reader = _READERS.get(type(value))
    if reader is not None:
        return reader(value)
    cls = type(value)
    for base in cls.__mro__:
        module = base.__module__
        if module == "bson" or module.startswith("bson."):
            named = _BSON.get(base.__name__)
            if named is not None:
                return named(value)
        elif module == "numpy":
            return ("value", value.tolist())
    if isinstance(value, Enum):
        return ("value", value.value)
    for known, reader in _READERS.items():
        if isinstance(value, known):
            return reader(value)
    if isinstance(value, bool | int):
        return ("int", int(value))
    if isinstance(value, float):
        return ("value", float(value))
    if isinstance(value, str):
        return ("value", str.__str__(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return ("value", bytes(value))
    if isinstance(value, Mapping):
        return ("value", dict(value))
    if isinstance(value, _date):
        raise ValueError("a date without a time has no form in a document; write its text, or a datetime with a zone")
    return None


def _datetime(value: datetime) -> tuple[str, int] | None:
    if value != value:  # pandas' NaT
        return None
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError("a datetime without a time zone; say which: .replace(tzinfo=timezone.utc)")
    since = value - _EPOCH
    # Documents hold milliseconds; what is below is cut off, as drivers do.
    return ("date", since.days * _DAY + since.seconds * 1000 + since.microseconds // 1000)


def _decimal(value: Decimal) -> tuple[str, str]:
    text = str(value)
    if not value.is_finite():
        return ("decimal128", "NaN" if value.is_nan() else ("-Infinity" if value < 0 else "Infinity"))
    return ("decimal", text)


_LETTERS = ((re.I, "i"), (re.L, "l"), (re.M, "m"), (re.S, "s"), (re.U, "u"), (re.X, "x"))


def _letters(flags: int | str) -> str:
    if isinstance(flags, str):
        return "".join(sorted(flags))
    return "".join(letter for flag, letter in _LETTERS if flags & flag)


def _pattern(value: Any) -> tuple[str, str, str]:
    pattern = value.pattern
    if isinstance(pattern, bytes):
        pattern = pattern.decode("utf-8")
    flags = getattr(value, "flags", None)
    return ("regex", pattern, _letters(flags if flags is not None else value.options))


_READERS: dict[type, Reader] = {
    datetime: _datetime,
    Decimal: _decimal,
    UUID: lambda v: ("binary", 4, v.bytes),
    re.Pattern: _pattern,
    ObjectId: lambda v: ("oid", v.binary),
    Decimal128: lambda v: ("decimal128", v.text),
    Binary: lambda v: ("binary", v.subtype, bytes(v)),
    Timestamp: lambda v: ("timestamp", v.time, v.inc),
    Regex: _pattern,
    Code: lambda v: ("code", v.code, v.scope),
    Symbol: lambda v: ("symbol", v.text),
    DbPointer: lambda v: ("db_pointer", v.namespace, v.id),
    MinKey: lambda v: ("min_key",),
    MaxKey: lambda v: ("max_key",),
    Undefined: lambda v: ("undefined",),
    DatetimeMS: lambda v: ("date", v.millis),
    StoreValue: lambda v: ("store", v.type, v.text),
}

# By name: whoever hands such a value over has loaded the module already.
_BSON: dict[str, Reader] = {
    "ObjectId": lambda v: ("oid", v.binary),
    "Int64": lambda v: ("int64", int(v)),
    "Decimal128": lambda v: ("decimal128", str(v)),
    "Binary": lambda v: ("binary", v.subtype, bytes(v)),
    "Timestamp": lambda v: ("timestamp", v.time, v.inc),
    "Regex": _pattern,
    "Code": lambda v: ("code", str.__str__(v), dict(v.scope) if v.scope is not None else None),
    "MinKey": lambda v: ("min_key",),
    "MaxKey": lambda v: ("max_key",),
    "DatetimeMS": lambda v: ("date", int(v)),
    "DBRef": lambda v: ("value", dict(v.as_doc())),
}


# --- out ---------------------------------------------------------------------------------------------


def _bson() -> Any:
    """Return the ``bson`` that comes with pymongo, if it is installed. There is another of that name."""
    try:
        import bson.decimal128
        import bson.int64
    except ImportError:
        return None
    return bson


_found: list[Any] = []


def _with(name: str, stand_in: Any) -> Any:
    if not _found:
        _found.append(_bson())
    return getattr(_found[0], name, stand_in) if _found[0] is not None else stand_in


def object_id(content: bytes) -> Any:
    return _with("ObjectId", ObjectId)(content)


def int64(number: int) -> Any:
    return _with("Int64", int)(number)


def decimal128(text: str) -> Any:
    return _with("Decimal128", Decimal128)(text)


def number(text: str) -> Any:
    """Return a number beyond 64 bits or beyond a float: an ``int``, else a ``Decimal``."""
    digits = text[1:] if text.startswith("-") else text
    return int(text) if digits.isdigit() else Decimal(text)


def date(millis: int) -> Any:
    if _EARLIEST <= millis <= _LATEST:
        return _EPOCH + timedelta(milliseconds=millis)
    return _with("DatetimeMS", DatetimeMS)(millis)


def binary(subtype: int, content: bytes) -> Any:
    if subtype == 4 and len(content) == 16:
        return UUID(bytes=content)
    return _with("Binary", Binary)(content, subtype)


def timestamp(time: int, increment: int) -> Any:
    return _with("Timestamp", Timestamp)(time, increment)


def regex(pattern: str, options: str) -> Any:
    known = _with("Regex", None)
    return known(pattern, options) if known is not None else Regex(pattern, options)


def code(text: str, scope: dict[str, Any] | None) -> Any:
    return _with("Code", Code)(text, scope)


def symbol(text: str) -> Symbol:
    return Symbol(text)


def db_pointer(namespace: str, content: bytes) -> DbPointer:
    return DbPointer(namespace, content)


def min_key() -> Any:
    return _with("MinKey", MinKey)()


def max_key() -> Any:
    return _with("MaxKey", MaxKey)()


def undefined() -> Undefined:
    return Undefined()


def store(type: str, text: str) -> StoreValue:
    return StoreValue(type, text)
