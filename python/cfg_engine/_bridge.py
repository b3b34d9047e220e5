"""Between threads of the engine and an event loop."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from typing import Any


def settle(future: Future[Any], result: Any, error: BaseException | None) -> None:
    """Hand an outcome over, unless nobody waits any more."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
