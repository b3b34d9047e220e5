"""A project and its verbs, waiting. Made from ``_async_project.py`` by ``tools/generate.py``."""

from __future__ import annotations

import os

from . import _calls, _results
from ._calls import SyncCalls
from ._errors import refused
from ._results import Change, Diff, DiffReport, Entry, FsckReport, InitReport, Log, RedactReport, Report, RestoreReport, Rows
from ._results import SecretReport, Status, TagReport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Any, Literal, overload

    from ._calls import Progress
    from ._results import RecordStatus

    Moment = str | datetime
else:

    def overload(function):
        return function


class Document(_results.DocumentBase):
    """A live document, with the version it was read at.

    It is a ``dict``. Committing it compares with that version, so a colleague's change in between is a
    :class:`~cfg_engine.ConflictError` and never lost.
    """

    def commit(
        self,
        *,
        message: str | Sequence[str],
        allow_noop: bool = False,
        without_secrets: bool = False,
        force: bool = False,
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Commit it, if nobody else did since it was read. Afterwards it is what was written."""
        if self._project is None:
            raise refused("no_project", "this document belongs to no project", "commit it with project.commit(id, doc)")
        project: Project = self._project
        return project.commit(
            None,
            self,
            message=message,
            allow_noop=allow_noop,
            without_secrets=without_secrets,
            force=force,
            author=author,
            approval=approval,
            idempotency_key=idempotency_key,
            dry_run=dry_run,
            allow_secret=allow_secret,
        )


def _item(
    id: Any,
    collection: str | None,
    doc: Mapping[str, Any] | None = None,
    patch: Sequence[Mapping[str, Any]] | None = None,
    merge_patch: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | str | None = None,
) -> dict[str, Any]:
    """Return one record's part of a commit."""
    item: dict[str, Any] = {"id": id, "collection": collection, "doc": doc, "patch": patch, "merge_patch": merge_patch}
    if isinstance(base, str):
        item["base_ref"] = base
    elif base is not None:
        item["base"] = dict(base)
    elif isinstance(doc, _results.DocumentBase):
        item["base"] = doc.base
    return item


class Project(SyncCalls):
    """A project: a ``.cfg.toml``, an env of it, and every verb as a method.

    It may be used by many threads at once, and by a forked child.
    """

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store. The next call opens it again."""
        self._native.close()

    # --- what is there -------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Return ``{env, env_source, needs_approval, database, config_file, collections, …}``."""
        if self._about is None:
            answer = self._run("project", {})
            about: dict[str, Any] = answer.data()
            self._about = about
        return self._about

    def whoami(self) -> dict[str, Any]:
        """Return who you are and which env you are on."""
        answer = self._run("whoami", {})
        found: dict[str, Any] = answer.data()
        return found

    def policy(self) -> dict[str, Any]:
        """Return what the env asks of a change: ``{initialised, rules}``.

        Each rule has what the file says, what the database holds, what holds of both, and which is stricter.
        """
        answer = self._run("policy", {})
        found: dict[str, Any] = answer.data()
        return found

    def address(self, id: Any, *, collection: str | None = None) -> dict[str, Any]:
        """Return which record and version an address such as ``planner@7`` means."""
        answer = self._run("address", {"id": id, "collection": collection})
        found: dict[str, Any] = answer.data()
        return found

    def get(self, id: Any, *, collection: str | None = None) -> Document:
        """Read a live document with its base, ready to be edited and committed."""
        answer = self._run("get", {"id": id, "collection": collection})
        return self._document(answer.data())

    def get_many(self, ids: Iterable[Any], *, collection: str | None = None) -> list[Document]:
        """Read several live documents in one round trip, in the order they were asked for.

        One that cannot be read is an error, as it is with ``get``.
        """
        answer = self._run("get", {"ids": list(ids), "collection": collection})
        reason = answer.reason()
        if reason is not None:
            raise reason
        return [self._document(row) for row in answer.data()]

    def _document(self, row: Mapping[str, Any]) -> Document:
        document = Document(row["doc"])
        document._base = row["base"]
        document._project = self
        return document

    def documents(self, *, collection: str | None = None, progress: Progress = None) -> list[Document]:
        """Read every live document with its base."""
        answer = self._run("export", {"collection": collection}, progress)
        reason = answer.reason()
        if reason is not None:
            raise reason
        return [self._document(row) for row in answer.data()]

    def export(
        self,
        dir: str | os.PathLike[str],
        *,
        collection: str | None = None,
        force: bool = False,
        progress: Progress = None,
    ) -> dict[str, Any]:
        """Write every live document to a folder, one file each."""
        args = {"dir": str(dir), "collection": collection, "force": force}
        answer = self._run("export", args, progress)
        found: dict[str, Any] = answer.data()
        return found

    def status(
        self, *ids: Any, all: bool = False, collection: str | None = None, progress: Progress = None
    ) -> Status:
        """Return what differs between live and history; with ``all``, removed records too."""
        args = {"ids": _calls.ids(ids), "all": all or None, "collection": collection}
        answer = self._run("status", args, progress)
        return _results.status(answer)

    @overload
    def show(self, id: Any, ref: str | None = None, *, field: None = None, collection: str | None = None) -> Entry: ...
    @overload
    def show(self, id: Any, ref: str | None = None, *, field: str, collection: str | None = None) -> Any: ...

    def show(
        self, id: Any, ref: str | None = None, *, field: str | None = None, collection: str | None = None
    ) -> Any:
        """Return one version: ``@7``, ``#a1b2c3``, ``@{2026-06-07}``, ``=live``, by default HEAD.

        ``=live`` gives the live document with its base. With ``field``, only the value at that path.
        """
        answer = self._run("show", {"id": id, "ref": ref, "field": field, "collection": collection})
        found = answer.data()
        if field is not None:
            return found
        return Entry(found) if "seq" in found else self._document(found)

    @overload
    def diff(
        self, id: None = None, from_: str | None = None, to: str | None = None, *,
        as_of: Moment | None = None, collection: str | None = None,
    ) -> DiffReport: ...
    @overload
    def diff(
        self, id: str | int | Mapping[str, Any], from_: str | None = None, to: str | None = None, *,
        as_of: Moment | None = None, collection: str | None = None,
    ) -> Diff: ...

    def diff(
        self,
        id: Any = None,
        from_: str | None = None,
        to: str | None = None,
        *,
        as_of: Moment | None = None,
        collection: str | None = None,
    ) -> Diff | DiffReport:
        """Compare two versions of a record, by default HEAD with live; without an id, everything."""
        args = {"id": id, "from": from_, "to": to, "as_of": as_of, "collection": collection}
        answer = self._run("diff", args)
        return Diff(answer.data()) if id is not None else _results.diffs(answer)

    def fsck(
        self,
        *,
        repair: bool = False,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
        progress: Progress = None,
    ) -> FsckReport:
        """Check the whole history: hashes, chain, heads, intervals.

        With ``repair``, what follows from the entries is written anew; the other options are for that.
        """
        args: dict[str, Any] = {
            "repair": True,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("fsck", args if repair else {}, progress)
        return _results.checked(answer)

    def redact(
        self,
        id: Any = None,
        paths: str | Sequence[str] = (),
        *,
        versions: str | Sequence[int] | None = None,
        messages: bool = False,
        rewrite_history: bool = False,
        resume: bool | str = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> RedactReport:
        """Take a leaked value out of every stored version; oids, numbers and tags stay.

        ``paths`` are as in ``secret_fields``: ``tools[].api_key``. ``message`` says why, and is needed.
        ``rewrite_history`` reaches what is hashed and needs an approval on every env. With ``resume`` (true, or
        the token of one of several) what was begun is finished, and nothing else is given.
        """
        args: dict[str, Any] = {
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        if resume:
            args["resume"] = resume
        else:
            args.update(
                id=id,
                collection=collection,
                paths=[paths] if isinstance(paths, str) else list(paths),
                versions=versions if versions is None or isinstance(versions, str) else list(versions),
                messages=messages,
                rewrite_history=rewrite_history,
            )
        answer = self._run("redact", args)
        return RedactReport(answer.data())

    def secrets_scan(
        self,
        *,
        history: bool = False,
        live: bool = False,
        collection: str | None = None,
        progress: Progress = None,
    ) -> SecretReport:
        """Look for secrets in history and live documents, or in one of the two, by the rules of ``[secrets]``.

        Read-only; where something is, never what it is.
        """
        args = {"history": history, "live": live, "collection": collection}
        answer = self._run("secrets_scan", args, progress)
        return _results.scanned(answer)

    def blame(self, id: Any, path: str | None = None, *, collection: str | None = None) -> Rows:
        """Return for each field which version it comes from; with ``path``, of that field and what is below it."""
        answer = self._run("blame", {"id": id, "path": path, "collection": collection})
        return Rows(answer.data())

    def points(
        self,
        id: Any = None,
        *,
        around: Moment | None = None,
        window_ms: int | None = None,
        collection: str | None = None,
    ) -> Rows:
        """List the moments at which something changed, to choose one to go back to; by default around three days."""
        args = {"id": id, "around": around, "window_ms": window_ms, "collection": collection}
        answer = self._run("points", args)
        return Rows(answer.data())

    # --- versions ------------------------------------------------------------------------------------

    def log(
        self,
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
    ) -> Log:
        """List versions, newest first; with ``as_of`` what was live at a moment, with ``tag`` what it means."""
        args = {
            "tag": tag,
            "id": id,
            "as_of": as_of,
            "as_of_recorded": as_of_recorded,
            "since": since,
            "until": until,
            "author": author,
            "git_sha": git_sha,
            "limit": max_count,
            "with_doc": with_doc,
            "collection": collection,
        }
        answer = self._run("log", args)
        return Log(Entry(row) for row in answer.data())

    def history(
        self,
        id: Any = None,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        author: str | None = None,
        with_doc: bool = False,
        collection: str | None = None,
    ) -> History:
        """Iterate over versions, newest first, reading them by the hundred."""
        args = {
            "id": id,
            "since": since,
            "until": until,
            "author": author,
            "with_doc": with_doc,
            "collection": collection,
        }
        return History(self, args)

    def as_of(
        self,
        time: Moment | None = None,
        *,
        recorded: Moment | None = None,
        with_doc: bool = True,
        collection: str | None = None,
    ) -> AsOf:
        """Iterate over what was live at a moment, record by record, reading documents by the hundred.

        ``recorded`` asks what history said at that moment. A date means its end, UTC.
        """
        if time is None and recorded is None:
            raise refused("usage", "no moment is named", "name one, such as 2026-06-07, or recorded=")
        return AsOf(self, {"as_of": time, "as_of_recorded": recorded, "collection": collection}, with_doc)

    # --- changes -------------------------------------------------------------------------------------

    def init(self, *, dry_run: bool = False) -> InitReport:
        """Create the history tables beside yours. A second call changes nothing."""
        return _results.init(self._run("init", {"dry_run": dry_run}))

    def loosen(
        self,
        *,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Make the policy that the store holds what the file says, which is less strict.

        On an env that needs approvals this needs one, as every change does.
        """
        args = {"loosen": True, "message": message, "author": author, "approval": approval, "dry_run": dry_run}
        answer = self._run("init", args)
        data: dict[str, Any] = answer.data()
        return data

    def approvals(self, *, all: bool = False) -> Rows:
        """List what waits for an approval; with ``all``, also what is used, denied or expired."""
        answer = self._run("approvals", {"all": all})
        return Rows(answer.data())

    def approval(self, id: str) -> dict[str, Any]:
        """Show a request for approval with its whole plan."""
        answer = self._run("approval", {"id": id})
        data: dict[str, Any] = answer.data()
        return data

    def approve(self, id: str, *, statement: Mapping[str, Any]) -> dict[str, Any]:
        """Hand in a signed statement, as ``cfg approve ID --sign KEYFILE --print`` prints it.

        A program has no terminal that counts, and no argument approves anything by itself.
        """
        answer = self._run("approve", {"id": id, "statement": statement})
        data: dict[str, Any] = answer.data()
        return data

    def deny(self, id: str, *, reason: str = "") -> dict[str, Any]:
        """Say no to a plan: whoever asked for it gets a :class:`~cfg_engine.DeclinedError`."""
        answer = self._run("deny", {"id": id, "reason": reason})
        data: dict[str, Any] = answer.data()
        return data

    def commit(
        self,
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
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Write a document to live and history, or nothing.

        A :class:`Document` is compared with the version it was read at, and is afterwards what was written.
        ``patch`` is an RFC 6902 JSON Patch and ``merge_patch`` an RFC 7396 merge patch of what is live.
        Without any of them, what is staged for the record is committed.
        """
        args: dict[str, Any] = {
            "allow_noop": allow_noop,
            "allow_removal": allow_removal,
            "without_secrets": without_secrets,
            "force": force,
            "meta": meta,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        if doc is None and patch is None and merge_patch is None:
            if id is None:
                raise refused("usage", "nothing is given to commit", "give an id and a document")
            args["ids"], args["collection"] = [id], collection
        else:
            args["items"] = [_item(id, collection, doc, patch, merge_patch, base)]
        answer = self._run("commit", args)
        return _results.change(answer, doc)

    def commit_all(
        self,
        documents: Iterable[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]] | None = None,
        *,
        collection: str | None = None,
        allow_noop: bool = False,
        allow_removal: bool = False,
        without_secrets: bool = False,
        force: bool = False,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Report:
        """Write many documents, all of them or none: documents that were read, or ``{id: doc}``.

        Without documents, everything that is staged is committed.
        """
        args: dict[str, Any] = {
            "allow_noop": allow_noop,
            "allow_removal": allow_removal,
            "without_secrets": without_secrets,
            "force": force,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        taken: list[Any] = []
        if documents is None:
            args["all"] = True
        else:
            if isinstance(documents, dict):
                items = [_item(id, collection, doc) for id, doc in documents.items()]
                taken = list(documents.values())
            else:
                taken = list(documents)
                items = [_item(None, collection, doc) for doc in taken]
            args["items"], args["many"] = items, True
        answer = self._run("commit", args)
        return _committed(_results.report(answer), taken)

    def set(
        self,
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
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Change fields of what is live and commit that: ``"model=small", "retries:=3", "tools+=search"``.

        ``fields`` takes values instead, by path; with ``delete`` the assignments are paths to remove.
        """
        item = _item(id, collection, base=base)
        item.update(set=list(assignments) or None, assign=fields, secrets=secrets, delete=delete)
        args: dict[str, Any] = {
            "items": [item],
            "without_secrets": without_secrets,
            "force": force,
            "meta": {"via": "set", **(meta or {})},
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("commit", args)
        return _results.change(answer)

    def apply_doc(
        self,
        id: Any,
        doc: Mapping[str, Any],
        *,
        base: Mapping[str, Any] | str | None = None,
        collection: str | None = None,
        allow_noop: bool = False,
        allow_removal: bool = False,
        without_secrets: bool = False,
        force: bool = False,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Commit one document: what scripts call instead of writing the table."""
        return self.commit(
            id,
            doc,
            base=base,
            collection=collection,
            allow_noop=allow_noop,
            allow_removal=allow_removal,
            without_secrets=without_secrets,
            force=force,
            meta={"via": "apply-doc"},
            message=message,
            author=author,
            approval=approval,
            idempotency_key=idempotency_key,
            dry_run=dry_run,
            allow_secret=allow_secret,
        )

    def restore(
        self,
        id: Any,
        ref: str | None = None,
        *,
        secrets: Mapping[str, Any] | None = None,
        without_secrets: bool = False,
        force: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Make an older version live again, as a new version. ``=HEAD`` discards what was changed outside."""
        args = {
            "id": id,
            "ref": ref,
            "secrets": secrets,
            "without_secrets": without_secrets,
            "force": force,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("restore", args)
        return _results.change(answer)

    def undo(
        self,
        id: Any,
        ref: str | None = None,
        *,
        without_secrets: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Take back what one version changed, and keep what came later. Refused where the same fields changed again."""
        args = {
            "id": id,
            "ref": ref,
            "without_secrets": without_secrets,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("undo", args)
        return _results.change(answer)

    def activate(
        self,
        id: Any,
        ref: str | None = None,
        *,
        without_secrets: bool = False,
        force: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Make a version the live row; the row that is live now steps back."""
        args = {
            "id": id,
            "ref": ref,
            "without_secrets": without_secrets,
            "force": force,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("activate", args)
        return _results.change(answer)

    def link(
        self,
        id: Any,
        seq: int,
        sha: str,
        *,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> None:
        """Say that a git commit shipped a version."""
        args = {
            "id": id,
            "seq": seq,
            "sha": sha,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        self._run("link", args)

    def adopt(
        self,
        *ids: Any,
        all: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
        progress: Progress = None,
    ) -> Report:
        """Record what was changed outside as the next version, of some records or, with ``all``, of every one."""
        args = {
            "ids": _calls.ids(ids),
            "all": all,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        return _several(self._run("adopt", args, progress), len(ids))

    def import_(
        self,
        *ids: Any,
        all: bool = False,
        valid_from: Moment | None = None,
        strip_backups: bool = False,
        history: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str] | None = None,
        seed_live: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
        progress: Progress = None,
    ) -> Report:
        """Record what is live as the first version, or load a ``history`` with its true times.

        ``history`` is a file of JSON lines, or an iterable of ``{id, time, doc, author, message, sha}``.
        """
        args: dict[str, Any] = {
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        if history is None:
            if seed_live:
                raise refused("usage", "seed_live writes versions of a history to live", "give the history")
            args.update(ids=_calls.ids(ids), all=all, valid_from=valid_from, strip_backups=strip_backups)
            return _several(self._run("import", args, progress), len(ids))
        if ids or all or valid_from is not None:
            raise refused("usage", "a history says itself which records and times", "leave ids, all and valid_from out")
        args["seed_live"] = seed_live
        if isinstance(history, str | os.PathLike):
            args["file"] = os.fspath(history)
        else:
            args["lines"] = list(history)
        return _results.report(self._run("import_history", args, progress))

    def rm(
        self,
        id: Any,
        *,
        base: Mapping[str, Any] | None = None,
        force: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> Change:
        """Delete a live record, keeping its history. A document that was read names record and version."""
        if isinstance(id, _results.DocumentBase) and id.base is not None:
            base = base if base is not None else id.base
            id = id.base["record"]
        args = {
            "id": id,
            "base": base,
            "force": force,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("rm", args)
        return _results.change(answer)

    def tag(
        self,
        name: str,
        id: Any = None,
        ref: str | None = None,
        *,
        versions: Iterable[Mapping[str, Any]] | None = None,
        as_of: Moment | None = None,
        force: bool = False,
        delete: bool = False,
        collection: str | None = None,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
    ) -> TagReport:
        """Give the versions of a moment a name: of everything, of one record, or of ``versions``, each ``{id, ref}``.

        ``force`` moves a tag that means something else, and ``delete`` deletes one.
        """
        args = {
            "name": name,
            "id": id,
            "ref": ref,
            "versions": list(versions) if versions is not None else None,
            "as_of": as_of,
            "force": force,
            "delete": delete,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        answer = self._run("tag", args)
        return TagReport(answer.data())

    def tags(self) -> Rows:
        """List the tags."""
        answer = self._run("tags", {})
        return Rows(answer.data())

    def restore_all(
        self,
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
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
        progress: Progress = None,
    ) -> RestoreReport:
        """Take everything back to a tag or to a moment. What moved meanwhile is left and reported.

        ``prune`` deletes what was not there then, ``adopt_drift`` records what was changed outside first, and
        ``plan`` is the address that a dry run gave: nothing is done if the plan would be another one by now.
        """
        args = {
            "tag": tag,
            "as_of": as_of,
            "only": list(only) if only is not None else None,
            "except": list(except_) if except_ is not None else None,
            "include_deleted": include_deleted,
            "prune": prune,
            "adopt_drift": adopt_drift,
            "without_secrets": without_secrets,
            "plan": plan,
            "collection": collection,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        return _results.restored(self._run("restore_all", args, progress))

    def resume(
        self,
        token: str,
        *,
        message: str | Sequence[str] = "",
        author: str | None = None,
        approval: str | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
        allow_secret: bool = False,
        progress: Progress = None,
    ) -> RestoreReport:
        """Go on with a restore of everything that is not done, by its ``restore_token``."""
        args = {
            "token": token,
            "message": message,
            "author": author,
            "approval": approval,
            "idempotency_key": idempotency_key,
            "dry_run": dry_run,
            "allow_secret": allow_secret,
        }
        return _results.restored(self._run("resume", args, progress))

    def edit(self, id: Any, *, collection: str | None = None, create: bool = False, **options: Any) -> Edit:
        """Edit a document in a ``with`` block: committed at its end, and nothing on an exception.

        With ``create`` a record that is not there starts as an empty document. Other options are those of
        ``commit``.
        """
        return Edit(self, id, collection, create, options)

    def batch(self, **options: Any) -> Batch:
        """Commit many records at the end of a ``with`` block: all of them or none. Options are those of ``commit``."""
        return Batch(self, options)


def _several(answer: Any, named: int) -> Report:
    """Make the report of a verb that prints an entry where one record was named."""
    if named != 1:
        return _results.report(answer)
    change = _results.change(answer)
    made = Report(change if "changes" in change else {"results": [change], "failed": []})
    made.replayed = change.replayed
    return made


def _committed(report: Report, documents: list[Any]) -> Report:
    """Let documents that were read take their new bases."""
    written = {_results._key(change.collection, change.config_id): change for change in report.results}
    for document in documents:
        if isinstance(document, _results.DocumentBase) and document.collection is not None:
            change = written.get(_results._key(document.collection, document.config_id))
            if change is not None and change._reply is not None:
                document._take(change.document, change.base)
    return report


class Edit:
    """What :meth:`Project.edit` gives."""

    #: What the commit did; ``None`` until the block has ended, or where nothing had to be written.
    change: Change | None

    def __init__(self, project: Project, id: Any, collection: str | None, create: bool, options: dict[str, Any]) -> None:
        self._project, self._id, self._collection, self._options = project, id, collection, options
        self._create = create
        self._document: Document | None = None
        self.change = None

    def __enter__(self) -> Document:
        from ._errors import NotFoundError

        try:
            self._document = self._project.get(self._id, collection=self._collection)
        except NotFoundError as error:
            if not self._create or error.code != "no_record":
                raise
            self._document = Document()
            self._document._project = self._project
        return self._document

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if kind is None:
            document = self._document
            id = self._id if document is None or document.base is None else None
            options = {"allow_noop": True, **self._options}
            self.change = self._project.commit(
                id, document, collection=self._collection if id is not None else None, **options
            )
        return False


class Batch:
    """What :meth:`Project.batch` gives: changes that are written together."""

    #: What was written; ``None`` until the block has ended.
    report: Report | None

    def __init__(self, project: Project, options: dict[str, Any]) -> None:
        self._project, self._options = project, options
        self._items: list[dict[str, Any]] = []
        self._documents: list[Any] = []
        self.report = None

    def __len__(self) -> int:
        return len(self._items)

    def get(self, id: Any, *, collection: str | None = None) -> Document:
        """Read a live document; it is written only if it is committed to this batch."""
        return self._project.get(id, collection=collection)

    def commit(
        self,
        id: Any = None,
        doc: Mapping[str, Any] | None = None,
        *,
        patch: Sequence[Mapping[str, Any]] | None = None,
        merge_patch: Mapping[str, Any] | None = None,
        base: Mapping[str, Any] | str | None = None,
        collection: str | None = None,
    ) -> None:
        """Add a document or a patch. Nothing is written before the end of the block."""
        # As it is now: what is changed later is another change.
        self._documents.append(doc)
        item = _item(id, collection, doc, patch, merge_patch, base)
        if doc is not None:
            from copy import deepcopy

            item["doc"] = deepcopy(dict(doc))
        self._items.append(item)

    def set(
        self,
        id: Any,
        *assignments: str,
        fields: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Any] | None = None,
        delete: bool = False,
        base: Mapping[str, Any] | str | None = None,
        collection: str | None = None,
    ) -> None:
        """Add a change of fields."""
        item = _item(id, collection, base=base)
        item.update(set=list(assignments) or None, assign=fields, secrets=secrets, delete=delete)
        self._items.append(item)

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if kind is None and self._items:
            args: dict[str, Any] = {"message": "", **self._options, "items": self._items, "many": True}
            answer = self._project._run("commit", args)
            self.report = _committed(_results.report(answer), self._documents)
        return False


class History:
    """Versions, newest first, read as they are asked for. Later commits do not disturb it."""

    _PAGE = 200

    def __init__(self, project: Project, args: dict[str, Any]) -> None:
        self._project, self._args = project, args
        self._waiting: list[Entry] = []
        self._last: str | None = None
        self._seen: set[str] = set()
        self._more = True

    def __iter__(self) -> History:
        return self

    def __next__(self) -> Entry:
        while not self._waiting:
            if not self._more:
                raise StopIteration
            self._fetch()
        return self._waiting.pop()

    def _fetch(self) -> None:
        # Entries of one batch share an instant, so a page begins where the last one ended, less what was
        # seen of that instant.
        limit = self._PAGE + len(self._seen)
        args = {**self._args, "limit": limit}
        if self._last is not None:
            args["until"] = self._last
        answer = self._project._run("log", args)
        rows: list[dict[str, Any]] = answer.data()
        self._more = len(rows) == limit
        fresh = [Entry(row) for row in rows if row["entry_id"] not in self._seen]
        if rows:
            last: str = rows[-1]["recorded_at"]
            if last != self._last:
                self._seen = set()
            self._last = last
            self._seen.update(row["entry_id"] for row in rows if row["recorded_at"] == last)
        fresh.reverse()
        self._waiting = fresh

    def to_pandas(self) -> Any:
        """Return the rest as a ``pandas.DataFrame``."""
        return _results.to_pandas([entry for entry in self])

    def _repr_html_(self) -> str:
        return "<em>versions, not read yet: iterate, or list them with log()</em>"


class AsOf:
    """What was live at a moment, record by record, its documents read as they are asked for."""

    _PAGE = 200

    def __init__(self, project: Project, args: dict[str, Any], with_doc: bool) -> None:
        self._project, self._args, self._with_doc = project, args, with_doc
        self._rows: list[dict[str, Any]] | None = None
        self._waiting: list[Entry] = []

    def __iter__(self) -> AsOf:
        return self

    def __next__(self) -> Entry:
        while not self._waiting:
            self._fetch()
        return self._waiting.pop()

    def _fetch(self) -> None:
        if self._rows is None:
            answer = self._project._run("log", self._args)
            rows: list[dict[str, Any]] = answer.data()
            rows.reverse()
            self._rows = rows
        if not self._rows:
            raise StopIteration
        page = self._rows[-self._PAGE :]
        del self._rows[-self._PAGE :]
        if self._with_doc:
            ids = [{"collection": row["collection"], "config_id": row["config_id"]} for row in reversed(page)]
            args = {**self._args, "collection": None, "ids": ids, "with_doc": True}
            answer = self._project._run("log", args)
            page = answer.data()
            page.reverse()
        self._waiting = [Entry(row) for row in page]

    def to_pandas(self) -> Any:
        """Return the rest as a ``pandas.DataFrame``."""
        return _results.to_pandas([entry for entry in self])

    def _repr_html_(self) -> str:
        return "<em>what was live then, not read yet: iterate over it</em>"
