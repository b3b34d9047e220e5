"""Seeds the agents of the support desk and fills in what is new. Run by every deployment."""

import cfg_engine as cfg

AGENTS = {
    "triage": {"model": "small", "temperature": 0.0, "tools": ["search"]},
    "planner": {"model": "large", "temperature": 0.2, "tools": ["search", "calendar"]},
    "writer": {"model": "large", "temperature": 0.7, "tools": []},
}


def main() -> None:
    agents = {doc.config_id: doc for doc in cfg.documents(collection="agents")}
    for name, agent in AGENTS.items():
        agents.setdefault(name, cfg.Document()).update(agent)
    with cfg.batch(message="agents of the support desk", allow_noop=True) as batch:
        for name, doc in agents.items():
            doc.setdefault("timeout", 30)
            batch.commit(name, doc)


if __name__ == "__main__":
    main()
