"""Values beyond JSON, for where ``bson`` is not installed, and the results of verbs."""

from __future__ import annotations

from ._extended import (
    Binary,
    Code,
    DatetimeMS,
    DbPointer,
    Decimal128,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    StoreValue,
    Symbol,
    Timestamp,
    Undefined,
)

__all__ = [
    "Binary",
    "Code",
    "DatetimeMS",
    "DbPointer",
    "Decimal128",
    "MaxKey",
    "MinKey",
    "ObjectId",
    "Regex",
    "StoreValue",
    "Symbol",
    "Timestamp",
    "Undefined",
]
