"""``cfg_engine`` for asyncio: the same verbs, awaited.

    from cfg_engine import aio as cfg

    planner = await cfg.get("planner")
    planner["model"] = "small"
    await planner.commit(message="the large one is not worth it here")

Cancelling a task stops the waiting, never the change: it is made as a whole or not at all.
"""

from __future__ import annotations

import os as _os

from . import _calls
from ._async_project import AsOf, Batch, Document, Edit, History, Project
from ._async_verbs import (
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

__all__ = [
    "AsOf",
    "Batch",
    "Document",
    "Edit",
    "History",
    "Project",
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
    "commit",
    "commit_all",
    "deny",
    "diff",
    "documents",
    "edit",
    "export",
    "fsck",
    "get",
    "get_many",
    "history",
    "import_",
    "init",
    "link",
    "log",
    "loosen",
    "points",
    "policy",
    "redact",
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
    "whoami",
]


async def open(
    path: str | _os.PathLike[str] | None = None,
    *,
    env: str | None = None,
    author: str | None = None,
    author_class: str | None = None,
    create: bool = False,
) -> Project:
    """Open the project of a folder; see :func:`cfg_engine.open`."""
    project = Project(_calls.options(path, env, author, author_class, create))
    await project.about()
    return project
