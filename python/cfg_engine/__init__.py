"""Version control for the live JSON records in your own database.

    import cfg_engine as cfg

    planner = cfg.get("planner")                    # a dict, with the version it was read at
    planner["model"] = "small"
    planner.commit(message="the large one is not worth it here")
    cfg.restore("planner", "@1", message="back")

The functions work on the project of the current folder: the nearest ``.cfg.toml`` above it, and the env that
``env=``, ``CFG_ENV`` or the file says. ``cfg.open(path, env=...)`` gives a :class:`Project` with the same
verbs. ``cfg_engine.aio`` is the same, awaiting.
"""

from __future__ import annotations

import os as _os

from . import _calls, _native
from ._errors import (
    ApprovalRequired,
    BadConfigError,
    CfgError,
    ConflictError,
    DeclinedError,
    DriftError,
    InvalidValueError,
    NotFoundError,
    RefusedError,
    StorageError,
)
from ._project import AsOf, Batch, Document, Edit, History, Project
from ._results import (
    Change,
    Diff,
    DiffReport,
    Entry,
    FsckReport,
    InitReport,
    Log,
    RecordStatus,
    RedactReport,
    Report,
    RestoreReport,
    Status,
    TagReport,
)
from ._verbs import (
    activate,
    address,
    adopt,
    apply_doc,
    approval,
    approvals,
    approve,
    as_of,
    batch,
    blame,
    commit,
    commit_all,
    deny,
    diff,
    documents,
    edit,
    export,
    fsck,
    get,
    get_many,
    history,
    import_,
    init,
    link,
    log,
    loosen,
    points,
    policy,
    redact,
    restore,
    restore_all,
    resume,
    rm,
    secrets_scan,
    set,
    show,
    status,
    tag,
    tags,
    undo,
    whoami,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from . import aio as aio
    from . import types as types

__version__: str = _native.version

__all__ = [
    "ApprovalRequired",
    "AsOf",
    "BadConfigError",
    "Batch",
    "CfgError",
    "Change",
    "ConflictError",
    "DeclinedError",
    "Diff",
    "DiffReport",
    "Document",
    "DriftError",
    "Edit",
    "Entry",
    "FsckReport",
    "History",
    "InitReport",
    "InvalidValueError",
    "Log",
    "NotFoundError",
    "Project",
    "RecordStatus",
    "RefusedError",
    "RedactReport",
    "Report",
    "RestoreReport",
    "Status",
    "StorageError",
    "TagReport",
    "activate",
    "address",
    "adopt",
    "apply_doc",
    "approval",
    "approvals",
    "approve",
    "as_of",
    "batch",
    "blame",
    "canonical",
    "commit",
    "commit_all",
    "config",
    "deny",
    "diff",
    "documents",
    "dumps",
    "edit",
    "export",
    "fsck",
    "get",
    "get_many",
    "history",
    "import_",
    "init",
    "link",
    "loads",
    "log",
    "loosen",
    "points",
    "policy",
    "redact",
    "oid",
    "open",
    "restore",
    "restore_all",
    "resume",
    "rm",
    "secrets_scan",
    "set",
    "show",
    "status",
    "tag",
    "tags",
    "undo",
    "version",
    "whoami",
]


def open(
    path: str | _os.PathLike[str] | None = None,
    *,
    env: str | None = None,
    author: str | None = None,
    author_class: str | None = None,
    create: bool = False,
) -> Project:
    """Open the project of a folder (the nearest ``.cfg.toml`` above it), or of a ``.cfg.toml`` by its path.

    ``author`` is who makes the changes, else ``CFG_AUTHOR``, else git's ``user.email``. ``author_class`` may
    say ``"agent"``. With ``create`` a SQLite file that is not there is made.
    """
    project = Project(_calls.options(path, env, author, author_class, create))
    project.about()
    return project


def config(path: str | _os.PathLike[str] | None = None, *, env: str | None = None) -> dict[str, Any]:
    """Return the settings in effect, each with where it comes from. No store is opened."""
    return _native.config(_calls.with_variables(_calls.options(path, env, None, None, False)))


def version() -> dict[str, Any]:
    """Return the version of the package and of its formats."""
    return {"version": _native.version, "entry_format": _native.entry_format, "unicode": _native.unicode}


def _policy(
    ignore_fields: Sequence[str],
    ignore_patterns: Sequence[str],
    ignore_paths: Sequence[str],
    secret_fields: Sequence[str],
) -> dict[str, Any] | None:
    if not (ignore_fields or ignore_patterns or ignore_paths or secret_fields):
        return None
    return {
        "ignore_fields": list(ignore_fields),
        "ignore_patterns": list(ignore_patterns),
        "ignore_paths": list(ignore_paths),
        "secret_fields": list(secret_fields),
    }


def oid(
    doc: Mapping[str, Any],
    *,
    ignore_fields: Sequence[str] = (),
    ignore_patterns: Sequence[str] = (),
    ignore_paths: Sequence[str] = (),
    secret_fields: Sequence[str] = (),
) -> str:
    """Return the address of a document's content: equal content has an equal oid, in every language."""
    return _native.oid(doc, _policy(ignore_fields, ignore_patterns, ignore_paths, secret_fields))


def canonical(
    doc: Mapping[str, Any],
    *,
    ignore_fields: Sequence[str] = (),
    ignore_patterns: Sequence[str] = (),
    ignore_paths: Sequence[str] = (),
    secret_fields: Sequence[str] = (),
) -> bytes:
    """Return the bytes whose SHA-256 is the oid."""
    return _native.canonical(doc, _policy(ignore_fields, ignore_patterns, ignore_paths, secret_fields))


def loads(text: str, *, plain: bool = False) -> Any:
    """Read JSON text: Extended JSON, where ``{"$date": …}`` is a date, or with ``plain`` JSON as it stands."""
    return _native.loads(text, plain)


def dumps(value: Any, *, dialect: str = "interchange", indent: int | None = None) -> str:
    """Write JSON text: ``interchange`` keeps every type, ``relaxed`` is for people, ``plain`` is a JSON column's."""
    return _native.dumps(value, dialect, indent)


def __getattr__(name: str) -> Any:
    # What not every script needs is loaded when it is asked for.
    if name in ("aio", "compat", "types"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(
        before=_native.before_fork,
        after_in_parent=_native.after_fork_parent,
        after_in_child=_native.after_fork_child,
    )
