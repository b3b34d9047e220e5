"""What verbs give: dicts and lists as ``cfg --json`` prints them, with names for what is in them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Any

    from . import _native
    from ._errors import CfgError


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class _Shown(dict):  # type: ignore[type-arg]
    """A dict that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        from . import _html

        return _html.shown(self)


if TYPE_CHECKING:

    class Shown(dict[str, Any]):
        def _repr_html_(self) -> str: ...

    class Rows(list[Any]):
        def _repr_html_(self) -> str: ...
        def to_pandas(self) -> Any: ...

else:
    Shown = _Shown

    class Rows(list):
        """A list of rows that a notebook shows as a table."""

        def _repr_html_(self):
            from . import _html

            return _html.shown(self)

        def to_pandas(self):
            """Return a ``pandas.DataFrame`` with a row for each."""
            return to_pandas(self)


def to_pandas(rows: Iterable[dict[str, Any]]) -> Any:
    """Return a ``pandas.DataFrame``: times as times, the author as one column."""
    try:
        import pandas
    except ImportError as error:
        from ._errors import refused

        raise refused("no_pandas", "pandas is not installed", "install it with: pip install pandas") from error
    flat = []
    for row in rows:
        line = dict(row)
        author = line.get("author")
        if isinstance(author, dict):
            line["author"] = author.get("id")
            line["author_class"] = author.get("class")
        flat.append(line)
    frame = pandas.DataFrame(flat)
    for name in ("recorded_at", "valid_from", "valid_to", "superseded_at"):
        if name in frame:
            frame[name] = pandas.to_datetime(frame[name], utc=True)
    return frame


class Entry(Shown):
    """One immutable version of a record; a deletion is one too. A dict as ``cfg log --json`` prints it."""

    @property
    def config_id(self) -> Any:
        return self["config_id"]

    @property
    def collection(self) -> str:
        return str(self["collection"])

    @property
    def seq(self) -> int:
        """Its number; what ``planner@7`` refers to."""
        return int(self["seq"])

    @property
    def oid(self) -> str | None:
        """The address of its content; ``None`` for a deletion."""
        oid: str | None = self.get("oid")
        return oid

    @property
    def entry_id(self) -> str:
        return str(self["entry_id"])

    @property
    def op(self) -> str:
        """What made it: ``commit``, ``restore``, ``adopt``, ``force``, ``import``, ``delete``, ``redact``."""
        return str(self["op"])

    @property
    def message(self) -> str:
        return str(self["message"])

    @property
    def author(self) -> str:
        return str(self["author"]["id"])

    @property
    def recorded_at(self) -> datetime:
        """When it was written, by the store's clock."""
        moment = _moment(self["recorded_at"])
        assert moment is not None
        return moment

    @property
    def valid_from(self) -> datetime:
        """Since when its document was live."""
        moment = _moment(self["valid_from"])
        assert moment is not None
        return moment

    @property
    def valid_to(self) -> datetime | None:
        return _moment(self.get("valid_to"))

    @property
    def doc(self) -> dict[str, Any] | None:
        """The document, where it was asked for."""
        doc: dict[str, Any] | None = self.get("doc")
        return doc

    @property
    def ref(self) -> str:
        """The reference to it: ``@7``."""
        return f"@{self.seq}"


class Change(Entry):
    """What a verb did to one record: the entry, or for a dry run the plan."""

    #: The idempotency key was known: this happened earlier.
    replayed: bool = False
    _reply: _native.Reply | None = None

    @property
    def unchanged(self) -> bool:
        """It was as asked already, and nothing was written."""
        return bool(self.get("unchanged", False))

    @property
    def base(self) -> dict[str, Any] | None:
        """The base to commit the next change with."""
        return self._reply.base() if self._reply is not None else None

    @property
    def document(self) -> dict[str, Any] | None:
        """The document as it is now; ``None`` for a deletion, or where nothing was written."""
        doc: dict[str, Any] | None = self._reply.doc() if self._reply is not None else None
        return doc

    @property
    def entries(self) -> list[Entry]:
        """All entries that were written, what live held before among them."""
        return [Entry(entry) for entry in self._reply.entries()] if self._reply is not None else []


class Report(Shown):
    """What a verb did to several records: ``{results, failed}``, or for a dry run the plan."""

    #: The exit code that the command line has for it.
    exit_code: int = 0
    #: The failure that decided it.
    reason: CfgError | None = None
    replayed: bool = False

    @property
    def results(self) -> list[Change]:
        return [row if isinstance(row, Change) else Change(row) for row in self.get("results", [])]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows that failed, each with its ``reason``."""
        return list(self.get("failed", []))

    def raise_for_failed(self) -> Report:
        """Raise the failure of a row, if one failed; else return the report."""
        if self.reason is not None:
            raise self.reason
        return self


class RecordStatus(Shown):
    """Where one record stands."""

    @property
    def config_id(self) -> Any:
        return self["config_id"]

    @property
    def collection(self) -> str:
        return str(self["collection"])

    @property
    def state(self) -> str:
        """``clean``, ``dirty``, ``staged``, ``untracked``, ``missing``, ``ambiguous``, ``error``, ``removed``."""
        return str(self["state"])

    @property
    def head_seq(self) -> int | None:
        seq: int | None = self.get("head_seq")
        return seq


class Status(Rows):
    """Where records stand."""

    #: 0; 2 where something was changed outside; 6 where something cannot be versioned.
    exit_code: int = 0
    reason: CfgError | None = None

    @property
    def clean(self) -> bool:
        """Whether live is what history says, everywhere."""
        return self.exit_code == 0

    if TYPE_CHECKING:

        def __iter__(self) -> Any: ...


class Log(Rows):
    """Versions, newest first."""


class Diff(Shown):
    """What differs between two versions of a record."""

    @property
    def changes(self) -> list[dict[str, Any]]:
        """``{path, op, before, after}`` of each field."""
        return list(self.get("changes", []))

    def __bool__(self) -> bool:
        return bool(self.get("changes"))


class DiffReport(Rows):
    """What differs between two states of everything; a row that failed has a ``reason``."""

    exit_code: int = 0
    reason: CfgError | None = None


class InitReport(Shown):
    """What was run to create the history tables, or with ``dry_run`` what would be."""

    exit_code: int = 0
    reason: CfgError | None = None

    @property
    def statements(self) -> list[str]:
        return list(self.get("statements", []))

    @property
    def ambiguous(self) -> list[dict[str, Any]]:
        """Records with more than one live row: they cannot be versioned as they are."""
        return list(self.get("ambiguous", []))


class TagReport(Shown):
    """What a tag means: ``{name, manifest, scope, records, …}``."""

    @property
    def name(self) -> str:
        return str(self["name"])


class RestoreReport(Report):
    """What became of the records of a restore of everything."""

    @property
    def restore_token(self) -> str | None:
        """What :meth:`~cfg_engine.Project.resume` goes on with, where something is not done."""
        token: str | None = self.get("restore_token")
        return token


class FsckReport(Shown):
    """What a check of the whole history found."""

    exit_code: int = 0

    @property
    def findings(self) -> list[dict[str, Any]]:
        return list(self.get("findings", []))

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend, or everything was mended."""
        return self.exit_code == 0


class RedactReport(Shown):
    """What a redaction took out, or would."""

    @property
    def places(self) -> list[dict[str, Any]]:
        """What lost it, or would: ``{kind, seq, object, paths, hashed}``."""
        return list(self.get("places", []))

    @property
    def left(self) -> list[dict[str, Any]]:
        """What repeats it and was left."""
        return list(self.get("left", []))

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The ``redact`` entries that were written."""
        return list(self.get("entries", []))


class SecretReport(Shown):
    """What a scan for secrets found: where, never what."""

    #: 0; 1 where something looks like a secret; more where something could not be read.
    exit_code: int = 0
    reason: CfgError | None = None

    @property
    def findings(self) -> list[dict[str, Any]]:
        """``{collection, config_id, place, versions, path, kind, rule}``."""
        return list(self.get("findings", []))

    @property
    def ok(self) -> bool:
        """Whether nothing looks like a secret, and everything could be read."""
        return self.exit_code == 0


class DocumentBase(Shown):
    """A live document, with the version it was read at.

    It is a ``dict``. Committing it compares with that version, so a colleague's change in between is a
    :class:`~cfg_engine.ConflictError` and never lost.
    """

    _base: dict[str, Any] | None = None
    _project: Any = None

    @property
    def base(self) -> dict[str, Any] | None:
        """The version it was read at: ``{record, env, seq, oid}``."""
        return self._base

    @property
    def config_id(self) -> Any:
        return self._base["record"]["config_id"] if self._base is not None else None

    @property
    def collection(self) -> str | None:
        return self._base["record"]["collection"] if self._base is not None else None

    @property
    def env(self) -> str | None:
        return self._base["env"] if self._base is not None else None

    @property
    def seq(self) -> int | None:
        """The version's number; ``None`` while the record has no history."""
        return self._base["seq"] if self._base is not None else None

    @property
    def oid(self) -> str | None:
        return self._base["oid"] if self._base is not None else None

    def _take(self, doc: dict[str, Any] | None, base: dict[str, Any] | None) -> None:
        """Become what was written."""
        if doc is not None:
            self.clear()
            self.update(doc)
        self._base = base


# --- making them -------------------------------------------------------------------------------------


def change(answer: _native.Answer, doc: object = None) -> Change:
    """Make the result of a verb on one record; a document that was committed takes its new base."""
    made = Change(answer.data())
    made.replayed = answer.replayed
    replies = answer.replies()
    if replies:
        made._reply = replies[0]
        if isinstance(doc, DocumentBase):
            doc._take(replies[0].doc(), replies[0].base())
    return made


def report(answer: _native.Answer) -> Report:
    made = Report(answer.data())
    made.exit_code, made.reason, made.replayed = answer.exit_code, answer.reason(), answer.replayed
    by_record = {_key(reply.collection(), reply.config_id()): reply for reply in answer.replies()}
    results: list[Change] = []
    for row in made.get("results", []):
        result = Change(row)
        result.replayed = answer.replayed
        result._reply = by_record.get(_key(result["collection"], result["config_id"]))
        results.append(result)
    if "results" in made:
        made["results"] = results
    return made


def _key(collection: str, config_id: Any) -> tuple[str, str, str]:
    return collection, type(config_id).__name__, repr(config_id)


def status(answer: _native.Answer) -> Status:
    made = Status(RecordStatus(row) for row in answer.data())
    made.exit_code, made.reason = answer.exit_code, answer.reason()
    return made


def restored(answer: _native.Answer) -> RestoreReport:
    made = RestoreReport(answer.data())
    made.exit_code, made.reason = answer.exit_code, answer.reason()
    return made


def checked(answer: _native.Answer) -> FsckReport:
    made = FsckReport(answer.data())
    made.exit_code = answer.exit_code
    return made


def scanned(answer: _native.Answer) -> SecretReport:
    made = SecretReport(answer.data())
    made.exit_code, made.reason = answer.exit_code, answer.reason()
    return made


def init(answer: _native.Answer) -> InitReport:
    made = InitReport(answer.data())
    made.exit_code, made.reason = answer.exit_code, answer.reason()
    return made


def diffs(answer: _native.Answer) -> DiffReport:
    made = DiffReport(Diff(row) for row in answer.data())
    made.exit_code, made.reason = answer.exit_code, answer.reason()
    return made
