"""Recomputes entries.json and intervals.json without the engine: the header's canonical JSON by
Python's own json, its id by hashlib, the ends of intervals by their definition."""

import hashlib
import json
import pathlib
import sys


def ascii_units(text):
    """Writes every UTF-16 unit beyond ASCII as an escape."""
    out = []
    for char in text:
        if ord(char) < 128:
            out.append(char)
        else:
            units = char.encode("utf-16-be")
            out += ["\\u%02x%02x" % (units[n], units[n + 1]) for n in range(0, len(units), 2)]
    return "".join(out)


def header_text(case):
    header = dict(case["header"])
    header["id_key"] = ascii_units(header["id_key"])
    header["message"] = hashlib.sha256(header["message"].encode()).hexdigest()
    # A header's names are ASCII and its numbers are integers: sorted compact JSON is its RFC 8785 form.
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check_intervals(case):
    entries = [e for e in case["entries"] if not e.get("redact")]
    order = lambda e: (e["valid_from"], e["seq"])
    valid = sorted(entries, key=order)
    if case["head"] != valid[-1]["seq"]:
        return False
    for entry in case["entries"]:
        if entry.get("redact"):
            expected = (entry["valid_from"], entry["recorded_at"])
        else:
            later = [e for e in valid if order(e) > order(entry)]
            valid_to = later[0]["valid_from"] if later else None
            was_head = all(order(e) < order(entry) for e in entries if e["seq"] < entry["seq"])
            after = sorted((e for e in later if e["seq"] > entry["seq"]), key=lambda e: e["seq"])
            superseded = (after[0]["recorded_at"] if after else None) if was_head else entry["recorded_at"]
            expected = (valid_to, superseded)
        if (entry["valid_to"], entry["superseded_at"]) != expected:
            return False
    return True


def main(root):
    vectors = pathlib.Path(root) / "tests" / "vectors"
    passed, failed = 0, []
    for case in json.loads((vectors / "entries.json").read_text())["cases"]:
        text = header_text(case)
        good = text == case["canonical"] and hashlib.sha256(text.encode()).hexdigest() == case["entry_id"]
        passed, failed = passed + good, failed + ([] if good else [case["name"]])
    for case in json.loads((vectors / "intervals.json").read_text())["cases"]:
        good = check_intervals(case)
        passed, failed = passed + good, failed + ([] if good else [case["name"]])
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


sys.exit(main(sys.argv[1]))
