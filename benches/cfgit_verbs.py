"""What cfgit 0.4.7 is asked on either database: the verbs of benches/benches/system.rs that it has.

It has no list of the system at an instant, so its storage is asked as its restore would be, at once."""

import datetime
import statistics
import time


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def system(engine, docs):
    """A thousand records in history, and a document of each: {verb: seconds}."""
    found = {}
    changed = lambda to: [(ref, {**doc, "n": to}) for ref, doc in docs]
    found["batch"] = timed(lambda: engine.commit_many(changed(-1), message="a change"))
    found["tag"] = timed(lambda: engine.tag("then"))
    engine.commit_many(changed(-2), message="another")
    found["restore"] = timed(lambda: engine.restore_system_tag("then", message="back"))
    found["tag again"] = timed(lambda: engine.tag("again"))
    return found


def many(engine, times):
    """Ten thousand records, or fewer and each time `times` as long."""
    at = now()
    as_of = lambda with_doc: engine.adapter.query_history(as_of_valid=at, limit=None, with_doc=with_doc)
    median = lambda work: statistics.median(timed(work) for _ in range(3)) * times
    return {
        "status": median(engine.status),
        "as-of": median(lambda: as_of(False)),
        "as-of with documents": median(lambda: as_of(True)),
        "dry run, 500 differ": timed(lambda: engine.restore_system_as_of(at, message="look", dry_run=True)) * times,
    }
