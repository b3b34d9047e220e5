"""A collection of pymongo whose writes go through the engine.

    from cfg_engine.compat.pymongo import collection

    agents = collection(client.appdb.agent_configs)      # instead of client.appdb.agent_configs
    agents.update_one({"_id": "planner"}, {"$set": {"model": "small"}})

The arguments and results are pymongo's. Reads (``find``, ``find_one``, ``aggregate``, …) are the collection's
own. What the engine cannot do faithfully is refused with :class:`~cfg_engine.RefusedError`, and nothing is
written. Several records of one ``bulk_write`` are written together or not at all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import cfg_engine
from cfg_engine import Document, NotFoundError, Project, _extended
from cfg_engine._errors import refused

__all__ = ["Collection", "collection"]

# What an update may say; each is applied here to what was read, and committed with that base.
_OPERATORS = frozenset(("$set", "$unset", "$inc", "$mul", "$min", "$max", "$push", "$pull", "$addToSet", "$rename",
                        "$setOnInsert", "$currentDate", "$pop"))  # fmt: skip
_ATTEMPTS = 20


def collection(
    coll: Any,
    *,
    project: Project | None = None,
    env: str | None = None,
    message: str | None = None,
    author: str | None = None,
    name: str | None = None,
) -> Collection:
    """Return a stand-in for a pymongo collection.

    It writes to the project of the current folder, or to ``project``. The message of its commits is
    ``message``, else the script's name. ``name`` is the configured collection, where its table is named
    otherwise than ``coll``.
    """
    from cfg_engine import _default

    return Collection(coll, project if project is not None else _default.project(env), message, author, name)


def _script() -> str:
    name = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] not in ("", "-c", "-m") else ""
    return f"written by {name or 'a Python script'}"


class Collection:
    """See :func:`collection`. Anything that does not write is the collection's own."""

    def __init__(self, coll: Any, project: Project, message: str | None, author: str | None, name: str | None) -> None:
        self._coll, self._project = coll, project
        self._message, self._author = message if message is not None else _script(), author
        self._name, self._id_field = self._configured(coll, name)

    def _configured(self, coll: Any, name: str | None) -> tuple[str, str]:
        about = self._project.about()
        table = getattr(coll, "name", None)
        known: list[dict[str, Any]] = about["collections"]
        found = [c for c in known if (c["name"] == name if name is not None else c["table"] == table)]
        if not found:
            raise refused(
                "no_collection",
                f"no collection is configured for {name if name is not None else table!r}",
                f"add a [[collection]] to .cfg.toml; there are: {', '.join(c['name'] for c in known)}",
            )
        fields: list[str] = found[0]["id_fields"]
        if len(fields) != 1:
            raise refused("composite_id", "records of this collection have ids of several fields", "use cfg_engine itself")
        return str(found[0]["name"]), fields[0]

    def __getattr__(self, name: str) -> Any:
        if name in _WRITES:
            raise refused(
                "unsupported",
                f"{name} cannot be done through the engine",
                "write records one by one with update_one, replace_one, insert_one, delete_one, or several with bulk_write",
            )
        return getattr(self._coll, name)

    def __repr__(self) -> str:
        return f"<cfg_engine.compat.pymongo.Collection {self._name}>"

    # --- pymongo's writes --------------------------------------------------------------------------

    def insert_one(self, document: Any, bypass_document_validation: bool | None = None, session: Any = None,
                   comment: Any = None) -> Any:  # fmt: skip
        """Insert a document that is not there."""
        from pymongo.results import InsertOneResult

        _nothing_else(session=session)
        change = self._insert(document)
        self._commit([change])
        return InsertOneResult(change.id, acknowledged=True)

    def replace_one(self, filter: Mapping[str, Any], replacement: Mapping[str, Any], upsert: bool = False,
                    bypass_document_validation: bool | None = None, collation: Any = None, hint: Any = None,
                    session: Any = None, let: Any = None, sort: Any = None, comment: Any = None) -> Any:  # fmt: skip
        """Replace one document."""
        _nothing_else(session=session, collation=collation, let=let, sort=sort)
        return self._update_result(lambda: self._replace(filter, replacement, upsert))

    def update_one(self, filter: Mapping[str, Any], update: Any, upsert: bool = False,
                   bypass_document_validation: bool | None = None, collation: Any = None, array_filters: Any = None,
                   hint: Any = None, session: Any = None, let: Any = None, sort: Any = None,
                   comment: Any = None) -> Any:  # fmt: skip
        """Update one document."""
        _nothing_else(session=session, collation=collation, array_filters=array_filters, let=let, sort=sort)
        return self._update_result(lambda: self._update(filter, update, upsert))

    def delete_one(self, filter: Mapping[str, Any], collation: Any = None, hint: Any = None, session: Any = None,
                   let: Any = None, comment: Any = None) -> Any:  # fmt: skip
        """Delete one document, keeping its history."""
        from pymongo.results import DeleteResult

        _nothing_else(session=session, collation=collation, let=let)

        def once() -> Any:
            _, document = self._find(filter)
            if document is not None:
                self._project.rm(document, message=self._message, author=self._author)
            return DeleteResult({"n": int(document is not None), "ok": 1.0}, acknowledged=True)

        return self._again(once)

    def bulk_write(self, requests: Sequence[Any], ordered: bool = True, bypass_document_validation: bool | None = None,
                   session: Any = None, comment: Any = None, let: Any = None) -> Any:  # fmt: skip
        """Write many records, together or not at all. Each record may be named once; deletions stand alone."""
        from pymongo.results import BulkWriteResult

        _nothing_else(session=session, let=let)
        requests = list(requests)
        if not requests:
            from pymongo.errors import InvalidOperation

            raise InvalidOperation("No operations to execute")
        kinds = [type(request).__name__ for request in requests]
        if kinds == ["DeleteOne"]:
            result = self.delete_one(requests[0]._filter)
            return BulkWriteResult(_bulk(deleted=result.deleted_count), acknowledged=True)
        return self._again(lambda: self._bulk_once(requests, kinds))

    def _bulk_once(self, requests: Sequence[Any], kinds: Sequence[str]) -> Any:
        from pymongo.results import BulkWriteResult

        changes: list[_Change] = []
        counts = _bulk()
        for n, (request, kind) in enumerate(zip(requests, kinds)):
            if kind == "InsertOne":
                change: _Change | None = self._insert(request._doc)
                counts["nInserted"] += 1
            elif kind in ("UpdateOne", "ReplaceOne"):
                for option in ("_collation", "_array_filters", "_sort"):
                    if getattr(request, option, None) is not None:
                        raise _unfaithful(option[1:])
                make = self._update if kind == "UpdateOne" else self._replace
                change = make(request._filter, request._doc, bool(request._upsert))
                if change is not None and change.base is None:
                    counts["nUpserted"] += 1
                    counts["upserted"].append({"index": n, "_id": change.id})
                elif change is not None:
                    counts["nMatched"] += 1
                    counts["nModified"] += int(change.modified)
            else:
                raise refused(
                    "unsupported",
                    f"{kind} cannot be part of a bulk write through the engine",
                    "use InsertOne, UpdateOne and ReplaceOne; delete with delete_one",
                )
            if change is not None:
                changes.append(change)
        ids = [cfg_engine.dumps(change.id) for change in changes]
        if len({*ids}) != len(ids):
            raise refused(
                "twice",
                "one record is named twice in a bulk write",
                "put both changes into one, or into two bulk writes",
            )
        self._commit([change for change in changes if change.modified])
        return BulkWriteResult(counts, acknowledged=True)

    # --- how each is done ----------------------------------------------------------------------------

    def _update_result(self, make: Any) -> Any:
        from pymongo.results import UpdateResult

        def once() -> Any:
            change: _Change | None = make()
            raw: dict[str, Any] = {"n": 0, "nModified": 0, "ok": 1.0, "updatedExisting": False}
            if change is not None:
                raw["n"] = 1
                if change.base is None:
                    raw["upserted"] = change.id
                else:
                    raw["nModified"] = int(change.modified)
                    raw["updatedExisting"] = True
                if change.modified:
                    self._commit([change])
            return UpdateResult(raw, acknowledged=True)

        return self._again(once)

    def _again(self, once: Any) -> Any:
        """Do it anew where another commit came between the reading and the writing, as the server does."""
        for attempt in range(_ATTEMPTS):
            try:
                return once()
            except cfg_engine.ConflictError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def _commit(self, changes: Iterable[_Change]) -> None:
        items = list(changes)
        if not items:
            return
        with self._project.batch(message=self._message, author=self._author, allow_noop=True) as batch:
            for change in items:
                id = {"collection": self._name, "config_id": change.id}
                if change.base is not None:
                    batch.commit(id, change.document, base=change.base)
                else:
                    batch.commit(id, change.document)

    def _find(self, filter: Mapping[str, Any]) -> tuple[Any, Document | None]:
        """Find the record that a filter means: it names the id, and what else it asks for must hold."""
        if not isinstance(filter, Mapping):
            raise TypeError("filter must be a mapping")
        id = filter.get(self._id_field)
        if isinstance(id, Mapping) and set(id) == {"$eq"}:
            id = id["$eq"]
        if id is None or isinstance(id, Mapping) and any(str(key).startswith("$") for key in id):
            raise refused(
                "filter",
                f"the filter does not name one record by its {self._id_field}",
                f"add {self._id_field!r} to the filter, or loop over find() and update each",
            )
        try:
            document = self._project.get({"collection": self._name, "config_id": id})
        except NotFoundError as error:
            if error.code != "no_record":
                raise
            return id, None
        for path, wanted in filter.items():
            if path != self._id_field and not _holds(document, path, wanted):
                return id, None
        return id, document

    def _insert(self, document: Any) -> _Change:
        from pymongo.errors import DuplicateKeyError

        if not isinstance(document, dict):
            raise refused("unsupported", "insert_one takes a dict", "convert it with dict()")
        if self._id_field not in document:
            if self._id_field != "_id":
                raise refused("filter", f"the document has no {self._id_field}", f"give it its {self._id_field}")
            # As pymongo does: the caller's document gets the id.
            document["_id"] = _extended._with("ObjectId", None)()
        id = document[self._id_field]
        _, there = self._find({self._id_field: id})
        if there is not None:
            text = f"E11000 duplicate key error collection: {self._name} index: {self._id_field}_ dup key"
            raise DuplicateKeyError(text, 11000, {"keyValue": {self._id_field: id}})
        return _Change(id, dict(document), None, True)

    def _replace(self, filter: Mapping[str, Any], replacement: Mapping[str, Any], upsert: bool) -> _Change | None:
        if any(str(key).startswith("$") for key in replacement):
            raise ValueError("replacement can not include $ operators")
        id, document = self._find(filter)
        if self._id_field in replacement and replacement[self._id_field] != id:
            raise refused("other_id", f"the replacement has another {self._id_field}", "leave it out, or make it the same")
        made = {self._id_field: id, **replacement} if self._keeps_id(document) else dict(replacement)
        if document is None:
            if not upsert:
                return None
            return _Change(id, {**_equalities(filter), self._id_field: id, **replacement}, None, True)
        return _Change(id, made, document.base, not _same(made, document))

    def _keeps_id(self, document: Document | None) -> bool:
        return document is None or self._id_field in document

    def _update(self, filter: Mapping[str, Any], update: Any, upsert: bool) -> _Change | None:
        if isinstance(update, list):
            raise _unfaithful("an update that is a pipeline")
        if not update or any(not str(key).startswith("$") for key in update):
            raise ValueError("update only works with $ operators")
        unknown = sorted(set(update) - _OPERATORS)
        if unknown:
            raise _unfaithful(", ".join(unknown))
        id, document = self._find(filter)
        if document is None:
            if not upsert:
                return None
            made = {self._id_field: id, **_equalities(filter)}
            _apply(made, update, self._id_field, inserting=True)
            return _Change(id, made, None, True)
        made = deepcopy(dict(document))
        _apply(made, update, self._id_field, inserting=False)
        return _Change(id, made, document.base, not _same(made, document))


class _Change:
    """What is to become of one record."""

    __slots__ = ("base", "document", "id", "modified")

    def __init__(self, id: Any, document: dict[str, Any], base: dict[str, Any] | None, modified: bool) -> None:
        self.id, self.document, self.base, self.modified = id, document, base, modified


_WRITES = frozenset(
    (
        "insert_many",
        "update_many",
        "delete_many",
        "find_one_and_update",
        "find_one_and_replace",
        "find_one_and_delete",
        "drop",
        "rename",
        "initialize_ordered_bulk_op",
        "initialize_unordered_bulk_op",
    )
)


def _unfaithful(what: str) -> cfg_engine.RefusedError:
    return refused(
        "unsupported",
        f"{what} cannot be done faithfully through the engine",
        "read the document with cfg_engine.get, change it in Python and commit it",
    )


def _nothing_else(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise _unfaithful(f"the option {name}")


def _bulk(deleted: int = 0) -> dict[str, Any]:
    return {
        "writeErrors": [],
        "writeConcernErrors": [],
        "nInserted": 0,
        "nUpserted": 0,
        "nMatched": 0,
        "nModified": 0,
        "nRemoved": deleted,
        "upserted": [],
    }


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return list(a) == list(b) and cfg_engine.dumps(a) == cfg_engine.dumps(b)


def _equalities(filter: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an upsert takes from its filter."""
    made: dict[str, Any] = {}
    for path, value in filter.items():
        if isinstance(value, Mapping) and any(str(key).startswith("$") for key in value):
            continue
        _put(made, path, value)
    return made


_MISSING = object()


def _parts(path: str) -> list[str]:
    if "$" in path:
        raise _unfaithful(f"the path {path!r}")
    return path.split(".")


def _get(document: Any, path: str) -> Any:
    at = document
    for part in _parts(path):
        if isinstance(at, Mapping) and part in at:
            at = at[part]
        elif isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
        elif isinstance(at, list) and not part.isdigit():
            raise _unfaithful(f"the path {path!r} through an array")
        else:
            return _MISSING
    return at


def _parent(document: dict[str, Any], path: str) -> tuple[Any, str]:
    *ways, last = _parts(path)
    at: Any = document
    for part in ways:
        if isinstance(at, list):
            if not part.isdigit() or int(part) >= len(at):
                raise _unfaithful(f"the path {path!r} through an array")
            at = at[int(part)]
        else:
            if not isinstance(at, dict):
                raise _write_error(f"Cannot create field in element of {path!r}", 28)
            at = at.setdefault(part, {})
    if not isinstance(at, dict | list):
        raise _write_error(f"Cannot create field in element of {path!r}", 28)
    return at, last


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    at, last = _parent(document, path)
    if isinstance(at, list):
        n = int(last) if last.isdigit() else -1
        if not 0 <= n <= len(at):
            raise _unfaithful(f"the path {path!r} through an array")
        at[n : n + 1] = [value]
    elif value is None and last not in at:
        raise _unfaithful(f"null at {path!r}, where there is nothing: a null counts as nothing, so it")
    else:
        at[last] = value


def _write_error(message: str, code: int) -> Exception:
    from pymongo.errors import WriteError

    return WriteError(message, code, {"code": code, "errmsg": message})


def _holds(document: Mapping[str, Any], path: str, wanted: Any) -> bool:
    """Return whether a condition of a filter holds: equality, and the operators that mean one thing."""
    if path.startswith("$"):
        raise _unfaithful(f"{path} in a filter")
    found = _get(document, path)
    if found == {"$secret": True}:
        raise _unfaithful(f"a condition on {path!r}, which is secret,")
    if isinstance(wanted, Mapping) and any(str(key).startswith("$") for key in wanted):
        return all(_operator(found, operator, operand) for operator, operand in wanted.items())
    return _equal(found, wanted)


def _equal(found: Any, wanted: Any) -> bool:
    if found is _MISSING:
        return wanted is None
    if isinstance(found, list) and not isinstance(wanted, list):
        return any(_equal(item, wanted) for item in found)
    if isinstance(found, bool) != isinstance(wanted, bool):
        return False
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return list(found) == list(wanted) and all(_equal(found[key], wanted[key]) for key in wanted)
    return bool(found == wanted)


def _operator(found: Any, operator: str, operand: Any) -> bool:
    if operator == "$eq":
        return _equal(found, operand)
    if operator == "$ne":
        return not _equal(found, operand)
    if operator == "$in":
        return any(_equal(found, one) for one in operand)
    if operator == "$nin":
        return not any(_equal(found, one) for one in operand)
    if operator == "$exists":
        return (found is not _MISSING) == bool(operand)
    raise _unfaithful(f"{operator} in a filter")


def _number(path: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _write_error(f"Cannot apply arithmetic to a value of non-numeric type at {path!r}", 14)
    return value


def _apply(document: dict[str, Any], update: Mapping[str, Any], id_field: str, *, inserting: bool) -> None:
    """Apply an update to a document, as the server does."""
    touched: dict[str, tuple[str, Any]] = {}
    for operator, fields in update.items():
        if not isinstance(fields, Mapping):
            raise _write_error(f"Modifiers operate on fields but we found another type for {operator}", 9)
        for path, operand in fields.items():
            for other in touched:
                if path == other or path.startswith(f"{other}.") or other.startswith(f"{path}."):
                    raise _write_error(f"Updating the path {path!r} would create a conflict at {other!r}", 40)
            touched[path] = (operator, operand)
    # The server goes by the names, whatever order they are given in: new fields stand in that order.
    for path, (operator, operand) in sorted(touched.items(), key=lambda item: _order(item[0])):
        before = _get(document, id_field)
        _one(document, operator, path, operand, inserting)
        if _get(document, id_field) != before:
            raise _write_error(f"Performing an update on the path {path!r} would modify the immutable field", 66)


def _order(path: str) -> list[tuple[int, int, str]]:
    """Return how the server orders the fields of an update: numbers by value, names by letters."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in _parts(path)]


def _one(document: dict[str, Any], operator: str, path: str, operand: Any, inserting: bool) -> None:
    found = _get(document, path)
    if operator == "$set" or (operator == "$setOnInsert" and inserting):
        _put(document, path, operand)
    elif operator == "$setOnInsert":
        return
    elif operator == "$unset":
        if found is not _MISSING:
            at, last = _parent(document, path)
            if isinstance(at, list):
                at[int(last)] = None
            else:
                del at[last]
    elif operator == "$inc":
        _put(document, path, _number(path, operand) + (0 if found is _MISSING else _number(path, found)))
    elif operator == "$mul":
        _put(document, path, _number(path, operand) * (0 if found is _MISSING else _number(path, found)))
    elif operator in ("$min", "$max"):
        if found is not _MISSING and type(found) is not type(operand) and not _numbers(found, operand):
            raise _unfaithful(f"{operator} between values of different types")
        if found is _MISSING or (operand < found if operator == "$min" else operand > found):
            _put(document, path, operand)
    elif operator == "$currentDate":
        if operand is not True and operand != {"$type": "date"}:
            raise _unfaithful("$currentDate as a timestamp")
        from datetime import datetime, timezone

        _put(document, path, datetime.now(timezone.utc))
    elif operator == "$rename":
        if found is not _MISSING:
            at, last = _parent(document, path)
            del at[last]
            _put(document, operand, found)
    else:
        _array(document, operator, path, operand, found)


def _numbers(a: Any, b: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))


def _array(document: dict[str, Any], operator: str, path: str, operand: Any, found: Any) -> None:
    if found is _MISSING:
        if operator in ("$pull", "$pop"):
            return
        items: list[Any] = []
    elif isinstance(found, list):
        items = list(found)
    else:
        raise _write_error(f"The field {path!r} must be an array", 2)
    if operator in ("$push", "$addToSet"):
        new = [operand]
        if isinstance(operand, Mapping) and any(str(key).startswith("$") for key in operand):
            if set(operand) != {"$each"}:
                raise _unfaithful(f"{operator} with {', '.join(key for key in operand if key != '$each')}")
            new = list(operand["$each"])
        for item in new:
            if operator == "$push" or not any(_equal(there, item) for there in items):
                items.append(item)
    elif operator == "$pull":
        if isinstance(operand, Mapping):
            if any(str(key).startswith("$") for key in operand):
                items = [item for item in items if not all(_operator(item, o, v) for o, v in operand.items())]
            else:
                items = [i for i in items if not (isinstance(i, Mapping) and all(_holds(i, p, w) for p, w in operand.items()))]
        else:
            items = [item for item in items if not _equal(item, operand)]
    elif items:
        items = items[1:] if operand == -1 else items[:-1]
    _put(document, path, items)
