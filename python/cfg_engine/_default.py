"""The project that the module's own functions work on: found from the current folder upwards."""

from __future__ import annotations

import os

from . import _calls
from ._project import Project

# What decides which project and env is meant, and who makes the change.
_VARIABLES = (
    "CFG_ENV",
    "CFG_CONFIRM_AMBIENT_PROD",
    "CFG_AUTHOR",
    "CFG_AUTHOR_CLASS",
)

_projects: dict[tuple[str | None, ...], Project] = {}


def key(env: str | None) -> tuple[str | None, ...]:
    return (os.getcwd(), env, *map(os.environ.get, _VARIABLES))


def project(env: str | None = None) -> Project:
    """Return the project of the current folder; the same one as long as nothing that chooses it changes."""
    wanted = key(env)
    known = _projects.get(wanted)
    if known is None:
        known = _projects.setdefault(wanted, Project(_calls.options(None, env, None, None, False)))
    return known
