"""Seeds the agents of the support desk and raises their budgets. Run by every deployment."""

import os
from datetime import datetime, timezone
from typing import Any

from pymongo import MongoClient, UpdateOne

AGENTS: dict[str, dict[str, Any]] = {
    "triage": {"model": "small", "temperature": 0.0, "tools": ["search"]},
    "planner": {"model": "large", "temperature": 0.2, "tools": ["search", "calendar"]},
    "writer": {"model": "large", "temperature": 0.7, "tools": []},
}


def main() -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["APP_MONGODB_URI"])
    agents = client[os.environ["APP_DB"]].agents

    seeded = {"seeded_at": datetime(2026, 6, 1, tzinfo=timezone.utc)}
    agents.bulk_write(
        [
            UpdateOne({"_id": name}, {"$set": agent, "$setOnInsert": seeded}, upsert=True)
            for name, agent in AGENTS.items()
        ]
    )
    agents.update_one({"_id": "planner"}, {"$inc": {"budget": 100}, "$addToSet": {"tools": "browser"}})
    agents.update_one({"_id": "triage"}, {"$unset": {"legacy": ""}})
    client.close()


if __name__ == "__main__":
    main()
