"""Moves every agent that is on the old model to the new one. Run once."""

import os

import psycopg
from psycopg.types.json import Jsonb


def main() -> None:
    with psycopg.connect(os.environ["APP_DATABASE_URL"]) as db:
        db.execute(
            "INSERT INTO agents (id, doc) VALUES (%s, %s) ON CONFLICT (id) DO NOTHING",
            ("triage", Jsonb({"model": "small-2", "tools": ["search"]})),
        )
        for name, doc in db.execute("SELECT id, doc FROM agents FOR UPDATE").fetchall():
            if doc["model"] == "large-1":
                doc["model"] = "large-2"
                doc.setdefault("limits", {})["tokens"] = 8000
                db.execute("UPDATE agents SET doc = %s WHERE id = %s", (Jsonb(doc), name))


if __name__ == "__main__":
    main()
