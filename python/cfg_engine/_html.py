"""How results look in a notebook. Everything from outside is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from . import _native

_MOST = 200
_HIDDEN = frozenset(
    ("entry_id", "prev_entry_id", "op_id", "base", "meta", "git_shas", "doc_state", "env", "valid_from_estimated")
)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and set(value) == {"id", "class"}:
        return escape(f"{value['id']} ({value['class']})")
    if isinstance(value, dict) and {"code", "message"} <= set(value):
        return escape(str(value["message"]))
    if isinstance(value, str):
        return escape(value[:12] if len(value) == 64 and value.isalnum() else value)
    return f"<code>{escape(_native.dumps(value, 'relaxed'))}</code>"


def _table(rows: list[dict[str, Any]]) -> str:
    names: list[str] = []
    for row in rows:
        names.extend(name for name in row if name not in names and name not in _HIDDEN)
    names = [name for name in names if any(row.get(name) not in (None, [], False) for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in names) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _changes(changes: list[dict[str, Any]]) -> str:
    lines = []
    for change in changes:
        for sign, name, color in (("-", "before", "#b31d28"), ("+", "after", "#22863a")):
            if name in change and change[name] is not None:
                text = escape(f"{sign} {change.get('path', '')}: {_native.dumps(change[name], 'relaxed')}")
                lines.append(f'<div style="color:{color}"><code>{text}</code></div>')
    return "".join(lines) or "<em>no differences</em>"


def shown(value: Any) -> str:
    """Return HTML for a result."""
    from ._results import Diff, DocumentBase

    if isinstance(value, list):
        rows = [dict(row) for row in value[:_MOST]]
        if rows and "changes" in rows[0]:
            parts = [f"<b>{_cell(row.get('config_id'))}</b>{_changes(row.get('changes', []))}" for row in rows]
            html = "".join(parts)
        else:
            html = _table(rows) if rows else "<em>nothing</em>"
        more = len(value) - len(rows)
        return html + (f"<p>… and {more} more</p>" if more > 0 else "")
    if isinstance(value, Diff):
        return f"<b>{_cell(value.get('config_id'))}</b>{_changes(value.changes)}"
    if isinstance(value, DocumentBase):
        at = f"@{value.seq}" if value.seq is not None else "untracked"
        head = escape(f"{value.collection}:{value.config_id} {at} ({value.env})")
        return f"<b>{head}</b><pre>{escape(_native.dumps(dict(value), 'relaxed', 2))}</pre>"
    if "results" in value or "failed" in value:
        parts = [f"<b>{name}</b>{_table([dict(r) for r in value[name]])}" for name in ("results", "failed") if value.get(name)]
        return "".join(parts) or "<em>nothing to do</em>"
    return _table([dict(value)])
