"""The verbs on the project that is found from the current folder. Made by ``tools/generate.py``."""

from __future__ import annotations

from . import _async_default as _default

__all__ = [
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, overload

    from ._calls import Progress
    from ._async_project import AsOf, Batch, Document, Edit, History, Moment
    from ._results import Change, Diff, DiffReport, Entry, FsckReport, InitReport, Log, RedactReport, Report
    from ._results import RestoreReport, Rows, SecretReport, Status, TagReport
else:

    def overload(function):
        return function


async def whoami(
    *,
    env: str | None = None,
) -> dict[str, Any]:
    """Return who you are and which env you are on."""
    return await _default.project(env).whoami()


async def policy(
    *,
    env: str | None = None,
) -> dict[str, Any]:
    """Return what the env asks of a change: ``{initialised, rules}``.

    Each rule has what the file says, what the database holds, what holds of both, and which is stricter.
    """
    return await _default.project(env).policy()


async def address(
    id: Any,
    *,
    collection: str | None = None,
    env: str | None = None,
) -> dict[str, Any]:
    """Return which record and version an address such as ``planner@7`` means."""
    return await _default.project(env).address(id, collection=collection)


async def get(
    id: Any,
    *,
    collection: str | None = None,
    env: str | None = None,
) -> Document:
    """Read a live document with its base, ready to be edited and committed."""
    return await _default.project(env).get(id, collection=collection)


async def get_many(
    ids: Iterable[Any],
    *,
    collection: str | None = None,
    env: str | None = None,
) -> list[Document]:
    """Read several live documents in one round trip, in the order they were asked for.

    One that cannot be read is an error, as it is with ``get``.
    """
    return await _default.project(env).get_many(ids, collection=collection)


async def documents(
    *,
    collection: str | None = None,
    progress: Progress = None,
    env: str | None = None,
) -> list[Document]:
    """Read every live document with its base."""
    return await _default.project(env).documents(collection=collection, progress=progress)


async def export(
    dir: str | os.PathLike[str],
    *,
    collection: str | None = None,
    force: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> dict[str, Any]:
    """Write every live document to a folder, one file each."""
    return await _default.project(env).export(dir, collection=collection, force=force, progress=progress)


async def status(
    *ids: Any,
    all: bool = False,
    collection: str | None = None,
    progress: Progress = None,
    env: str | None = None,
) -> Status:
    """Return what differs between live and history; with ``all``, removed records too."""
    return await _default.project(env).status(*ids, all=all, collection=collection, progress=progress)


@overload
async def show(
    id: Any,
    ref: str | None = None,
    *,
    field: None = None,
    collection: str | None = None,
    env: str | None = None,
) -> Entry: ...


@overload
async def show(
    id: Any,
    ref: str | None = None,
    *,
    field: str,
    collection: str | None = None,
    env: str | None = None,
) -> Any: ...


async def show(
    id: Any,
    ref: str | None = None,
    *,
    field: str | None = None,
    collection: str | None = None,
    env: str | None = None,
) -> Any:
    """Return one version: ``@7``, ``#a1b2c3``, ``@{2026-06-07}``, ``=live``, by default HEAD.

    ``=live`` gives the live document with its base. With ``field``, only the value at that path.
    """
    return await _default.project(env).show(id, ref, field=field, collection=collection)


@overload
async def diff(
    id: None = None,
    from_: str | None = None,
    to: str | None = None,
    *,
    as_of: Moment | None = None,
    collection: str | None = None,
    env: str | None = None,
) -> DiffReport: ...


@overload
async def diff(
    id: str | int | Mapping[str, Any],
    from_: str | None = None,
    to: str | None = None,
    *,
    as_of: Moment | None = None,
    collection: str | None = None,
    env: str | None = None,
) -> Diff: ...


async def diff(
    id: Any = None,
    from_: str | None = None,
    to: str | None = None,
    *,
    as_of: Moment | None = None,
    collection: str | None = None,
    env: str | None = None,
) -> Any:
    """Compare two versions of a record, by default HEAD with live; without an id, everything."""
    return await _default.project(env).diff(id, from_, to, as_of=as_of, collection=collection)


async def fsck(
    *,
    repair: bool = False,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> FsckReport:
    """Check the whole history: hashes, chain, heads, intervals.

    With ``repair``, what follows from the entries is written anew; the other options are for that.
    """
    return await _default.project(env).fsck(repair=repair, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret, progress=progress)


async def redact(
    id: Any = None,
    paths: str | Sequence[str] = (),
    *,
    versions: str | Sequence[int] | None = None,
    messages: bool = False,
    rewrite_history: bool = False,
    resume: bool | str = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> RedactReport:
    """Take a leaked value out of every stored version; oids, numbers and tags stay.

    ``paths`` are as in ``secret_fields``: ``tools[].api_key``. ``message`` says why, and is needed.
    ``rewrite_history`` reaches what is hashed and needs an approval on every env. With ``resume`` (true, or
    the token of one of several) what was begun is finished, and nothing else is given.
    """
    return await _default.project(env).redact(id, paths, versions=versions, messages=messages, rewrite_history=rewrite_history, resume=resume, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def secrets_scan(
    *,
    history: bool = False,
    live: bool = False,
    collection: str | None = None,
    progress: Progress = None,
    env: str | None = None,
) -> SecretReport:
    """Look for secrets in history and live documents, or in one of the two, by the rules of ``[secrets]``.

    Read-only; where something is, never what it is.
    """
    return await _default.project(env).secrets_scan(history=history, live=live, collection=collection, progress=progress)


async def blame(
    id: Any,
    path: str | None = None,
    *,
    collection: str | None = None,
    env: str | None = None,
) -> Rows:
    """Return for each field which version it comes from; with ``path``, of that field and what is below it."""
    return await _default.project(env).blame(id, path, collection=collection)


async def points(
    id: Any = None,
    *,
    around: Moment | None = None,
    window_ms: int | None = None,
    collection: str | None = None,
    env: str | None = None,
) -> Rows:
    """List the moments at which something changed, to choose one to go back to; by default around three days."""
    return await _default.project(env).points(id, around=around, window_ms=window_ms, collection=collection)


async def log(
    id: Any = None,
    *,
    as_of: Moment | None = None,
    as_of_recorded: Moment | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    author: str | None = None,
    git_sha: str | None = None,
    max_count: int | None = None,
    tag: str | None = None,
    with_doc: bool = False,
    collection: str | None = None,
    env: str | None = None,
) -> Log:
    """List versions, newest first; with ``as_of`` what was live at a moment, with ``tag`` what it means."""
    return await _default.project(env).log(id, as_of=as_of, as_of_recorded=as_of_recorded, since=since, until=until, author=author, git_sha=git_sha, max_count=max_count, tag=tag, with_doc=with_doc, collection=collection)


def history(
    id: Any = None,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    author: str | None = None,
    with_doc: bool = False,
    collection: str | None = None,
    env: str | None = None,
) -> History:
    """Iterate over versions, newest first, reading them by the hundred."""
    return _default.project(env).history(id, since=since, until=until, author=author, with_doc=with_doc, collection=collection)


def as_of(
    time: Moment | None = None,
    *,
    recorded: Moment | None = None,
    with_doc: bool = True,
    collection: str | None = None,
    env: str | None = None,
) -> AsOf:
    """Iterate over what was live at a moment, record by record, reading documents by the hundred.

    ``recorded`` asks what history said at that moment. A date means its end, UTC.
    """
    return _default.project(env).as_of(time, recorded=recorded, with_doc=with_doc, collection=collection)


async def init(
    *,
    dry_run: bool = False,
    env: str | None = None,
) -> InitReport:
    """Create the history tables beside yours. A second call changes nothing."""
    return await _default.project(env).init(dry_run=dry_run)


async def loosen(
    *,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    dry_run: bool = False,
    env: str | None = None,
) -> dict[str, Any]:
    """Make the policy that the store holds what the file says, which is less strict.

    On an env that needs approvals this needs one, as every change does.
    """
    return await _default.project(env).loosen(message=message, author=author, approval=approval, dry_run=dry_run)


async def approvals(
    *,
    all: bool = False,
    env: str | None = None,
) -> Rows:
    """List what waits for an approval; with ``all``, also what is used, denied or expired."""
    return await _default.project(env).approvals(all=all)


async def approval(
    id: str,
    *,
    env: str | None = None,
) -> dict[str, Any]:
    """Show a request for approval with its whole plan."""
    return await _default.project(env).approval(id)


async def approve(
    id: str,
    *,
    statement: Mapping[str, Any],
    env: str | None = None,
) -> dict[str, Any]:
    """Hand in a signed statement, as ``cfg approve ID --sign KEYFILE --print`` prints it.

    A program has no terminal that counts, and no argument approves anything by itself.
    """
    return await _default.project(env).approve(id, statement=statement)


async def deny(
    id: str,
    *,
    reason: str = '',
    env: str | None = None,
) -> dict[str, Any]:
    """Say no to a plan: whoever asked for it gets a :class:`~cfg_engine.DeclinedError`."""
    return await _default.project(env).deny(id, reason=reason)


async def commit(
    id: Any = None,
    doc: Mapping[str, Any] | None = None,
    *,
    patch: Sequence[Mapping[str, Any]] | None = None,
    merge_patch: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | str | None = None,
    collection: str | None = None,
    allow_noop: bool = False,
    allow_removal: bool = False,
    without_secrets: bool = False,
    force: bool = False,
    meta: Mapping[str, Any] | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Write a document to live and history, or nothing.

    A :class:`Document` is compared with the version it was read at, and is afterwards what was written.
    ``patch`` is an RFC 6902 JSON Patch and ``merge_patch`` an RFC 7396 merge patch of what is live.
    Without any of them, what is staged for the record is committed.
    """
    return await _default.project(env).commit(id, doc, patch=patch, merge_patch=merge_patch, base=base, collection=collection, allow_noop=allow_noop, allow_removal=allow_removal, without_secrets=without_secrets, force=force, meta=meta, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def commit_all(
    documents: Iterable[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]] | None = None,
    *,
    collection: str | None = None,
    allow_noop: bool = False,
    allow_removal: bool = False,
    without_secrets: bool = False,
    force: bool = False,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Report:
    """Write many documents, all of them or none: documents that were read, or ``{id: doc}``.

    Without documents, everything that is staged is committed.
    """
    return await _default.project(env).commit_all(documents, collection=collection, allow_noop=allow_noop, allow_removal=allow_removal, without_secrets=without_secrets, force=force, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def set(
    id: Any,
    *assignments: str,
    fields: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    delete: bool = False,
    base: Mapping[str, Any] | str | None = None,
    collection: str | None = None,
    without_secrets: bool = False,
    force: bool = False,
    meta: Mapping[str, Any] | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Change fields of what is live and commit that: ``"model=small", "retries:=3", "tools+=search"``.

    ``fields`` takes values instead, by path; with ``delete`` the assignments are paths to remove.
    """
    return await _default.project(env).set(id, *assignments, fields=fields, secrets=secrets, delete=delete, base=base, collection=collection, without_secrets=without_secrets, force=force, meta=meta, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def apply_doc(
    id: Any,
    doc: Mapping[str, Any],
    *,
    base: Mapping[str, Any] | str | None = None,
    collection: str | None = None,
    allow_noop: bool = False,
    allow_removal: bool = False,
    without_secrets: bool = False,
    force: bool = False,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Commit one document: what scripts call instead of writing the table."""
    return await _default.project(env).apply_doc(id, doc, base=base, collection=collection, allow_noop=allow_noop, allow_removal=allow_removal, without_secrets=without_secrets, force=force, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def restore(
    id: Any,
    ref: str | None = None,
    *,
    secrets: Mapping[str, Any] | None = None,
    without_secrets: bool = False,
    force: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Make an older version live again, as a new version. ``=HEAD`` discards what was changed outside."""
    return await _default.project(env).restore(id, ref, secrets=secrets, without_secrets=without_secrets, force=force, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def undo(
    id: Any,
    ref: str | None = None,
    *,
    without_secrets: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Take back what one version changed, and keep what came later. Refused where the same fields changed again."""
    return await _default.project(env).undo(id, ref, without_secrets=without_secrets, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def activate(
    id: Any,
    ref: str | None = None,
    *,
    without_secrets: bool = False,
    force: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Make a version the live row; the row that is live now steps back."""
    return await _default.project(env).activate(id, ref, without_secrets=without_secrets, force=force, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def link(
    id: Any,
    seq: int,
    sha: str,
    *,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> None:
    """Say that a git commit shipped a version."""
    return await _default.project(env).link(id, seq, sha, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def adopt(
    *ids: Any,
    all: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> Report:
    """Record what was changed outside as the next version, of some records or, with ``all``, of every one."""
    return await _default.project(env).adopt(*ids, all=all, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret, progress=progress)


async def import_(
    *ids: Any,
    all: bool = False,
    valid_from: Moment | None = None,
    strip_backups: bool = False,
    history: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str] | None = None,
    seed_live: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> Report:
    """Record what is live as the first version, or load a ``history`` with its true times.

    ``history`` is a file of JSON lines, or an iterable of ``{id, time, doc, author, message, sha}``.
    """
    return await _default.project(env).import_(*ids, all=all, valid_from=valid_from, strip_backups=strip_backups, history=history, seed_live=seed_live, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret, progress=progress)


async def rm(
    id: Any,
    *,
    base: Mapping[str, Any] | None = None,
    force: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> Change:
    """Delete a live record, keeping its history. A document that was read names record and version."""
    return await _default.project(env).rm(id, base=base, force=force, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def tag(
    name: str,
    id: Any = None,
    ref: str | None = None,
    *,
    versions: Iterable[Mapping[str, Any]] | None = None,
    as_of: Moment | None = None,
    force: bool = False,
    delete: bool = False,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    env: str | None = None,
) -> TagReport:
    """Give the versions of a moment a name: of everything, of one record, or of ``versions``, each ``{id, ref}``.

    ``force`` moves a tag that means something else, and ``delete`` deletes one.
    """
    return await _default.project(env).tag(name, id, ref, versions=versions, as_of=as_of, force=force, delete=delete, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret)


async def tags(
    *,
    env: str | None = None,
) -> Rows:
    """List the tags."""
    return await _default.project(env).tags()


async def restore_all(
    *,
    tag: str | None = None,
    as_of: Moment | None = None,
    only: Iterable[Any] | None = None,
    except_: Iterable[Any] | None = None,
    include_deleted: bool = True,
    prune: bool = False,
    adopt_drift: bool = False,
    without_secrets: bool = False,
    plan: str | None = None,
    collection: str | None = None,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> RestoreReport:
    """Take everything back to a tag or to a moment. What moved meanwhile is left and reported.

    ``prune`` deletes what was not there then, ``adopt_drift`` records what was changed outside first, and
    ``plan`` is the address that a dry run gave: nothing is done if the plan would be another one by now.
    """
    return await _default.project(env).restore_all(tag=tag, as_of=as_of, only=only, except_=except_, include_deleted=include_deleted, prune=prune, adopt_drift=adopt_drift, without_secrets=without_secrets, plan=plan, collection=collection, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret, progress=progress)


async def resume(
    token: str,
    *,
    message: str | Sequence[str] = '',
    author: str | None = None,
    approval: str | None = None,
    idempotency_key: str | None = None,
    dry_run: bool = False,
    allow_secret: bool = False,
    progress: Progress = None,
    env: str | None = None,
) -> RestoreReport:
    """Go on with a restore of everything that is not done, by its ``restore_token``."""
    return await _default.project(env).resume(token, message=message, author=author, approval=approval, idempotency_key=idempotency_key, dry_run=dry_run, allow_secret=allow_secret, progress=progress)


def edit(
    id: Any,
    *,
    collection: str | None = None,
    create: bool = False,
    env: str | None = None,
    **options: Any,
) -> Edit:
    """Edit a document in a ``with`` block: committed at its end, and nothing on an exception.

    With ``create`` a record that is not there starts as an empty document. Other options are those of
    ``commit``.
    """
    return _default.project(env).edit(id, collection=collection, create=create, **options)


def batch(
    *,
    env: str | None = None,
    **options: Any,
) -> Batch:
    """Commit many records at the end of a ``with`` block: all of them or none. Options are those of ``commit``."""
    return _default.project(env).batch(**options)
