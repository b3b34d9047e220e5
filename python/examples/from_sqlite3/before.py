"""Seeds the agents of the support desk and fills in what is new. Run by every deployment."""

import json
import os
import sqlite3

AGENTS = {
    "triage": {"model": "small", "temperature": 0.0, "tools": ["search"]},
    "planner": {"model": "large", "temperature": 0.2, "tools": ["search", "calendar"]},
    "writer": {"model": "large", "temperature": 0.7, "tools": []},
}


def main() -> None:
    db = sqlite3.connect(os.environ["APP_DB"])
    with db:
        for name, agent in AGENTS.items():
            row = db.execute("SELECT doc FROM agents WHERE id = ?", (name,)).fetchone()
            if row is None:
                db.execute("INSERT INTO agents (id, doc) VALUES (?, ?)", (name, json.dumps(agent)))
            else:
                doc = {**json.loads(row[0]), **agent}
                db.execute("UPDATE agents SET doc = ? WHERE id = ?", (json.dumps(doc), name))
        for name, text in db.execute("SELECT id, doc FROM agents").fetchall():
            doc = json.loads(text)
            if "timeout" not in doc:
                doc["timeout"] = 30
                db.execute("UPDATE agents SET doc = ? WHERE id = ?", (json.dumps(doc), name))
    db.close()


if __name__ == "__main__":
    main()
