"""Moves every agent that is on the old model to the new one. Run once."""

import cfg_engine as cfg


def main() -> None:
    with cfg.batch(message="large-1 is switched off at the end of June") as batch:
        agents = {doc.config_id: doc for doc in cfg.documents(collection="agents")}
        if "triage" not in agents:
            batch.commit("triage", {"model": "small-2", "tools": ["search"]})
        for doc in agents.values():
            if doc["model"] == "large-1":
                doc["model"] = "large-2"
                doc.setdefault("limits", {})["tokens"] = 8000
                batch.commit(doc=doc)


if __name__ == "__main__":
    main()
