"""Python as the oracle: the package rfc8785 for documents, unicodedata for normalization.

Usage: python jcs.py <repository> <command that prints texts>
"""

import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import unicodedata

import reference
import rfc8785

repository, printer = pathlib.Path(sys.argv[1]), sys.argv[2]
failures = []
passed = 0


def expect(name, got, wanted):
    global passed
    if got == wanted:
        passed += 1
    else:
        failures.append(f"{name}: the oracle has {got!r}, we have {wanted!r}")


def cases(file):
    return json.loads((repository / "tests/vectors" / file).read_text("utf-8"))["cases"]


def integer(text):
    """Beyond 2^53 - 1 the package wants doubles, which is what RFC 8785 has."""
    return int(text) if abs(int(text)) < 2**53 else float(text)


def double(case):
    if case["width"] == "double_bits":
        return struct.unpack(">d", bytes.fromhex(case["text"]))[0]
    return float(case["text"])


def library():
    for case in cases("canonical.json"):
        if case.get("jcs"):
            text = rfc8785.dumps(json.loads(case["input"], parse_int=integer))
            expect(case["name"], text.decode(), case["canonical"])
            expect(case["name"] + ", oid", hashlib.sha256(text).hexdigest(), case["oid"])
    for case in cases("numbers.json"):
        if case.get("jcs"):
            expect("number " + case["text"], rfc8785.dumps(double(case)).decode(), case["canonical"])


def second_implementation():
    """reference.py, which reads every case of both files and not only those of RFC 8785."""
    for case in cases("canonical.json"):
        expect(case["name"], reference.check(case), None)
    for case in cases("numbers.json"):
        if case["width"] == "double_bits":
            continue
        try:
            got = reference.number_text(case)
        except reference.Refused as refused:
            got = "not_finite" if refused.kind == "not_finite" else "syntax"
        except ValueError:
            got = "syntax"
        expect("number " + case["text"], got, case.get("canonical") or case["refused"])
    for case in cases("json_syntax.json"):
        try:
            reference.plain_depth(reference.parse(case["text"]))
            got = True
        except reference.Refused:
            got = False
        expect("syntax " + case["text"], got, case["accept"])


def normalization():
    """Every assigned code point: alone, decomposed, behind a letter and before a mark."""
    texts = []
    for code in range(0x110000):
        c = chr(code)
        if unicodedata.category(c) not in ("Cn", "Cs"):
            texts += [c, unicodedata.normalize("NFD", c), "a" + c + "\u0323", c + "\u0301\u0338", "\u1100\u1161" + c]
    lines = "\n".join(" ".join("%x" % ord(c) for c in text) for text in texts)
    printed = subprocess.run([printer], input=lines, capture_output=True, text=True, encoding="utf-8", check=True)
    ours, *printed = printed.stdout.rstrip("\n").split("\n")
    if tuple(map(int, ours.split("."))) < tuple(map(int, unicodedata.unidata_version.split("."))):
        failures.append(f"Python's Unicode {unicodedata.unidata_version} is newer than our {ours}")
    expect("lines printed", len(texts), len(printed))
    for text, line in zip(texts, printed):
        expect("NFC of " + ascii(text), reference.quote(text), line)


library()
second_implementation()
normalization()
print(*failures[:50], sep="\n", end="\n" if failures else "", file=sys.stderr)
print(f"python: {passed} passed, {len(failures)} failed")
sys.exit(1 if failures else 0)
