"""The exceptions. All have one root, and all say what to do next."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class CfgError(Exception):
    """Why a verb did not do what was asked. Nothing was written, unless the message says otherwise.

    ``status`` is the word that scripts branch on, ``code`` is finer than it, ``hint`` says what to do
    next, and ``config_id`` names the record that it is about, if it is about one. ``data`` has what the words
    say besides, such as the fields that are missing.
    """

    status: str = "error"
    code: str
    message: str
    hint: str | None
    exit_code: int = 1
    data: Any
    env: str | None
    collection: str | None
    config_id: Any

    def __init__(
        self,
        message: str,
        *,
        status: str | None = None,
        code: str = "error",
        hint: str | None = None,
        exit_code: int | None = None,
        data: Any = None,
        env: str | None = None,
        collection: str | None = None,
        config_id: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status if status is not None else type(self).status
        self.code = code
        self.hint = hint
        self.exit_code = exit_code if exit_code is not None else type(self).exit_code
        self.data = data
        self.env = env
        self.collection = collection
        self.config_id = config_id
        if isinstance(self, ApprovalRequired) and isinstance(data, dict):
            self.approval_id = data.get("approval_id")

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes of a pool an exception travels as its parts.
        return (_again, (type(self), self.message, dict(self.__dict__)))


class RefusedError(CfgError):
    """The input is refused: change it."""


class InvalidValueError(RefusedError, TypeError):
    """A value that no document can hold. ``message`` has the path to it."""


class ConflictError(CfgError):
    """Another commit came first: read again and redo the change."""

    status = "conflict"
    exit_code = 2


class DriftError(CfgError):
    """Somebody wrote around the engine: adopt or discard that first."""

    status = "changed_outside_cfg"
    exit_code = 2


class StorageError(CfgError):
    """The store failed: try later, or mend it."""

    exit_code = 3


class ApprovalRequired(CfgError):
    """A human has to approve. ``approval_id`` is what to wait for, and then the ``approval`` of the same call."""

    status = "needs_human_ok"
    exit_code = 4
    approval_id: str | None = None


class DeclinedError(CfgError):
    """A human said no."""

    status = "was_declined"
    exit_code = 7


class NotFoundError(CfgError, LookupError):
    """There is no such record, version or tag."""

    status = "not_found"
    exit_code = 5


class BadConfigError(CfgError):
    """The data or the configuration breaks a rule that the engine needs."""

    status = "bad_config"
    exit_code = 6


def _again(cls: type[CfgError], message: str, state: dict[str, Any]) -> CfgError:
    error = cls(message)
    error.__dict__.update(state)
    return error


def make(
    name: str,
    message: str,
    status: str,
    code: str,
    hint: str | None,
    exit_code: int,
    data: Any,
    env: str | None,
    collection: str | None,
    config_id: Any,
) -> CfgError:
    """Make the exception for an error of the engine."""
    cls: type[CfgError] = globals()[name]
    return cls(
        message,
        status=status,
        code=code,
        hint=hint,
        exit_code=exit_code,
        data=data,
        env=env,
        collection=collection,
        config_id=config_id,
    )


def unsupported(code: str, path: str, what: str) -> InvalidValueError:
    """Make the exception for a value that cannot be taken."""
    # Where the document stands among the arguments says nothing to whoever wrote it.
    first, _, rest = path.partition(".")
    if first.startswith("items["):
        path = rest.partition(".")[2]
    place = f"at {path}" if path else "the value"
    if code == "unsupported_type":
        message = f"{place}: no document can hold a {what}"
        hint = "convert it to text, a number, a list or a dict first"
    elif code == "unsupported_key":
        message = f"{place}: the key of a document is text, this one is a {what}"
        hint = "convert the key with str()"
    elif code == "lone_surrogate":
        message = f"{place}: the text has half of a surrogate pair, which UTF-8 cannot hold"
        hint = "decode it with the encoding it was written in"
    elif code == "too_deep":
        message = f"{place}: nesting deeper than {what} levels, or a value that contains itself"
        hint = "make the document flatter"
    else:
        message = f"{place}: {what}"
        hint = "change the value"
    return InvalidValueError(message, code=code, hint=hint)


def refused(code: str, message: str, hint: str) -> RefusedError:
    """Make the exception for a call that cannot be meant."""
    return RefusedError(message, code=code, hint=hint)
