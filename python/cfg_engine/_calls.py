"""How verbs reach the engine: options of a project, arguments of a call, progress."""

from __future__ import annotations

import os

from . import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Progress = Callable[[int, int | None], object] | bool | None


def options(
    path: str | os.PathLike[str] | None,
    env: str | None,
    author: str | None,
    author_class: str | None,
    create: bool,
) -> dict[str, Any]:
    """Say how a project is found: from a folder upwards, or by its file."""
    start = os.path.abspath(os.fspath(path) if path is not None else ".")
    file = None
    if os.path.isfile(start):
        start, file = os.path.split(start)
    return {
        "start_dir": start,
        "config_file": file,
        "env": env,
        "author": author,
        "author_class": author_class,
        "create": create,
    }


def with_variables(options: dict[str, Any]) -> dict[str, Any]:
    """Add the environment as it is now. It holds credentials, so it is handed over and not kept."""
    return {**options, "variables": dict(os.environ)}


class Calls:
    """A project's way to the engine."""

    _options: dict[str, Any]
    _native: _native.Session
    _about: dict[str, Any] | None

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._native = _native.Session(with_variables(options))
        self._about = None

    def __repr__(self) -> str:
        env = self._options["env"] or "default env"
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._options['start_dir']} ({env})>"

    def __reduce__(self) -> tuple[Any, ...]:
        # What travels to another process is how to open it there, without credentials.
        return (_again, (type(self), self._options))

    def __deepcopy__(self, _: Any) -> Any:
        return self


def _again(cls: type[Calls], options: dict[str, Any]) -> Calls:
    return cls(options)


class SyncCalls(Calls):
    def _run(self, verb: str, args: dict[str, Any], progress: Progress = None) -> _native.Answer:
        if progress is None or progress is False:
            return self._native.call(verb, args)
        with Bar(progress, verb) as bar:
            return self._native.call(verb, args, bar)


class AsyncCalls(Calls):
    async def _run(self, verb: str, args: dict[str, Any], progress: Progress = None) -> _native.Answer:
        from asyncio import get_running_loop

        loop = get_running_loop()
        answer: _native.Answer
        if progress is None or progress is False:
            answer = await self._native.call_async(loop, verb, args)
            return answer
        with Bar(progress, verb) as bar:
            # In the loop's own thread, as everything else that the caller wrote.
            def tell(done: int, total: int | None) -> None:
                loop.call_soon_threadsafe(bar, done, total)

            answer = await self._native.call_async(loop, verb, args, tell)
            return answer


class Bar:
    """Progress as a callable, or as a bar of tqdm where that is asked for and installed."""

    def __init__(self, progress: Progress, verb: str) -> None:
        self._told = progress if callable(progress) else None
        self._bar: Any = None
        if self._told is None:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self._bar = tqdm(desc=verb, unit=" records")

    def __call__(self, done: int, total: int | None) -> None:
        if self._told is not None:
            self._told(done, total)
        elif self._bar is not None:
            if total is not None:
                self._bar.total = total
            self._bar.update(done - self._bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def ids(many: Iterable[Any]) -> list[Any] | None:
    """Return ids as a list; nothing where none is named."""
    listed = list(many)
    return listed or None
