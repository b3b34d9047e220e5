"""The stores side by side, and how each grows: the parts of docs/performance.md that come from
benches/benches/system.rs and growth.rs."""

import json
import math

from plots import NAMES, draw, shown

STORES = ("sqlite", "postgres", "mongodb")

# verb: (what the page calls it, {store: target}); a target is ("s", at most) seconds, ("/s", at least) records a
# second, or ("times", at most) the other column.
ROWS = {
    "commit": ("Commit of one record", {}),
    "batch": ("Commit of 1,000 records in one batch", {"sqlite": ("/s", 10_000), "postgres": ("/s", 4000), "mongodb": ("/s", 3500)}),
    "status": ("`status` of 10,000 records, by hand: every document fetched", {}),
    "as-of": ("System as-of, 10,000 records, the list", {}),
    "as-of with documents": ("The same with documents", {}),
    "tag": ("Tag of 1,000 records, all changed since the last", {"sqlite": ("s", 0.03), "postgres": ("s", 0.03), "mongodb": ("s", 0.1)}),
    "tag again": ("Tag of 1,000 records, ten changed since the last", {"sqlite": ("s", 0.03), "postgres": ("s", 0.03), "mongodb": ("s", 0.1)}),
    "restore": ("Restore of 1,000 records to a tag", {"postgres": ("/s", 4000), "mongodb": ("/s", 3500)}),
    "dry run, 500 differ": ("Dry run of a restore of 10,000 records, 500 differ; beside it their `status`", {store: ("times", 3) for store in STORES}),
    "dry run, all differ": ("The same where all differ", {store: ("times", 3) for store in STORES}),
    "blame": ("`blame` over 5,000 versions of 0.5 KB", {"sqlite": ("s", 0.05), "postgres": ("s", 0.2), "mongodb": ("s", 0.2)}),
}


def label_count(n):
    return f"{n:,.0f}"


def label_bytes(n):
    return "1 MB" if n >= 1 << 20 else f"{n / 1024:g} KB"


# series: (heading, file, unit of the axis, its labels, logarithmic, what to say)
QUESTIONS = {
    "records": ("Records", "records", "records", label_count, True,
                "Documents of 0.5 KB, one version each."),
    "tags": ("Tags", "tags", "tags", label_count, False,
             "1,000 records of 0.5 KB, ten of them changed between a tag and the next. A row of as-of shows its tags."),
    "versions": ("Versions of each record", "versions", "versions of each record", label_count, True,
                 "50 records of 0.5 KB, an entry a minute. By hand, history begins empty."),
    "size": ("Size of a document", "size", "bytes of a document", label_bytes, True,
             "Ten records. By hand the same writes in one transaction, nothing read before."),
    "round trip": ("Time of a round trip", "round-trip", "ms of a round trip", label_count, False,
                   "100 records of 2 KB behind a proxy on the loopback that delays every byte. Even axes: the slope is the number of "
                   "round trips that are waited for, one after the other. SQLite is a file: there is no network to wait for."),
}
# What should not grow: these verbs touch one record, or ask for a bounded part of its history. From which x on.
FLAT = {("records", "commit"): 0, ("tags", "as-of of one"): 0, ("tags", "status of 1,000"): 0,
        **{("versions", verb): 0 for verb in ("get", "commit", "as-of of one", "restore of one", "status of all 50", "as-of, all 50")},
        ("versions", "log, newest twenty"): 20}


def load(target, name):
    file = target / "measured" / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else {"points": [], "about": {}, "quick": False}


def cell(point):
    return f"{shown(point['median'])} ({shown(point['low'])} – {shown(point['high'])})"


def judged(target, seconds, records, ratio):
    """What was wanted, bold where it was missed."""
    kind, bound = target
    if kind == "s":
        return f"at most {shown(bound)}", "" if seconds <= bound else " **slower than the target**"
    if kind == "/s":
        return f"at least {bound:,}/s", "" if records / seconds >= bound else f" **missed: {records / seconds:,.0f}/s**"
    return f"at most {bound} times", "" if ratio is not None and ratio <= bound else " **slower than the target**"


def stores(target, cfgit):
    """One table for each store, all of one form."""
    measured = load(target, "system")
    found = {(p["store"], p["verb"], p["by"]): p for p in measured["points"]}
    lines = ["", "## Each verb on each store", "",
             "Records of 2 KB. By hand: the same writes in one durable transaction (the record, an entry with its document, the end of the",
             "entry before, the head) in tables of the application's own, nothing read or compared before; or the same rows read. In turns with the",
             "verb, in the same run. Medians, quartiles in parentheses. Commands: messages to the server that it answers. cfgit 0.4.7 (Python) did the",
             "same on the same server; it was timed once, its as-of is its storage's query, and its dry run is one in which nothing differs."]
    for store in STORES:
        if (store, "commit", "cfg-engine") not in found:
            lines += ["", f"### {NAMES[store]}", "", "Not measured: there was no server."]
            continue
        theirs = cfgit.get(store, {})
        lines += ["", f"### {NAMES[store]}", ""]
        if store == "sqlite":
            lines += ["cfgit has no adapter for SQLite; a file needs no commands.", ""]
        elif not theirs:
            lines += ["cfgit was not measured in this run.", ""]
        lines += ["| What | cfg-engine | by hand | ratio | commands | target | cfgit 0.4.7 |", "|---|---|---|---|---|---|---|"]
        for verb, (what, targets) in ROWS.items():
            ours, hand = found.get((store, verb, "cfg-engine")), found.get((store, verb, "by hand"))
            if not ours:
                continue
            ratio = ours["median"] / hand["median"] if hand else None
            aim, verdict = judged(targets[store], ours["median"], ours["x"], ratio) if store in targets else ("", "")
            other = shown(theirs[verb]) if verb in theirs else "–"
            commands = "–" if ours["commands"] is None else ours["commands"]
            lines.append(f"| {what} | {cell(ours)} | {cell(hand) if hand else '–'} | {f'{ratio:.2f}' if hand else ''} | {commands} | {aim}{verdict} | {other} |")
    return lines


def slope(curve):
    """How many round trips are waited for: how much longer it takes for each second of a round trip."""
    xs = sorted(curve)
    return (curve[xs[-1]]["median"] - curve[xs[0]]["median"]) / ((xs[-1] - xs[0]) / 1000)


def growth_of(series, verb, ours, hand):
    """How it grows, bold where it should not."""
    xs = sorted(ours)
    if series == "round trip":
        return f"{slope(ours):.1f}" + (f" ({slope(hand):.1f})" if hand else "")
    first, last, before = xs[0], xs[-1], xs[-2]
    times = ours[last]["median"] / ours[first]["median"]
    if (series, verb) in FLAT:
        base = next(x for x in xs if x >= FLAT[series, verb])
        beside = max(1, hand[last]["median"] / hand[base]["median"]) if hand else 1
        rise = ours[last]["median"] / ours[base]["median"] / beside
        return f"{times:.1f} times" + (" **should be flat**" if rise > 2 else "")
    if first == 0:
        return f"{times:.1f} times"
    power = math.log(ours[last]["median"] / ours[before]["median"]) / math.log(last / before)
    return f"{times:.1f} times" + (" **more than linear**" if power > 1.2 else "")


def growth(target, folder):
    """A drawing and a table for each question."""
    measured = load(target, "growth")
    found = {}
    for p in measured["points"]:
        found.setdefault(p["series"], {}).setdefault(p["verb"], {}).setdefault((p["store"], p["by"]), {})[p["x"]] = p
    lines = ["", "## Growth", ""]
    if not found:
        return lines + ["Not measured."]
    if measured["quick"]:
        lines += ["**A quick run: up to 10,000 records, 100 versions, 30 tags; few samples of each point.**", ""]
    lines += ["By hand (dashed, in parentheses) as above. Each point is a median; whiskers are quartiles."]
    for series, (heading, file, unit, label, log, words) in QUESTIONS.items():
        verbs = found.get(series, {})
        if not verbs:
            continue
        panels = [(verb, {key: [(x, p["median"], p["low"], p["high"]) for x, p in sorted(curve.items())]
                          for key, curve in curves.items()}) for verb, curves in verbs.items()]
        draw(folder / f"{file}.svg", panels, label, unit, log)
        xs = sorted({x for curves in verbs.values() for curve in curves.values() for x in curve})
        grown = "round trips waited for" if series == "round trip" else f"from {label(xs[0])} to {label(xs[-1])}"
        lines += ["", f"### {heading}", "", words, "", f"![{heading}]({folder.name}/{file}.svg)", "",
                  f"| What | store | {' | '.join(label(x) + (' ms' if series == 'round trip' else '') for x in xs)} | commands | {grown} |",
                  "|---|---" + "|---" * (len(xs) + 2) + "|"]
        for verb, curves in verbs.items():
            for store in STORES:
                ours, hand = curves.get((store, "cfg-engine")), curves.get((store, "by hand"), {})
                if not ours:
                    continue
                cells = [shown(ours[x]["median"]) + (f" ({shown(hand[x]['median'])})" if x in hand else "") for x in xs]
                counts = [ours[x]["commands"] for x in xs]
                commands = "–" if None in counts else str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
                lines.append(f"| {verb} | {NAMES[store]} | {' | '.join(cells)} | {commands} | {growth_of(series, verb, ours, hand)} |")
    return lines


def settings(target):
    """{store: {what: value}} as the stores say themselves."""
    return {**load(target, "growth")["about"], **load(target, "system")["about"]}
