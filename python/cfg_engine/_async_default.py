"""The project that the module's own functions work on: found from the current folder upwards."""

from __future__ import annotations

from . import _calls, _default
from ._async_project import Project

_projects: dict[tuple[str | None, ...], Project] = {}


def project(env: str | None = None) -> Project:
    """Return the project of the current folder; the same one as long as nothing that chooses it changes."""
    wanted = _default.key(env)
    known = _projects.get(wanted)
    if known is None:
        known = _projects.setdefault(wanted, Project(_calls.options(None, env, None, None, False)))
    return known
