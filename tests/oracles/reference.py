"""The canonical form a second time, from docs/entry-format.md and not from the Rust code.

Short and slow on purpose. It checks every case of tests/vectors/canonical.json and numbers.json,
also those that no RFC 8785 library can say.
"""

import base64
import datetime
import fnmatch
import hashlib
import json
import re
import unicodedata

MAX_DEPTH = 100


class Refused(Exception):
    def __init__(self, kind, path=""):
        super().__init__(kind)
        self.kind, self.path = kind, path


class Num(str):
    """A number by its text: decimal digits with sign, fraction and exponent."""


class Obj(list):
    """An object as the list of its members."""


class Ext:
    """An extended value: its canonical Extended JSON text, and the scope of a `$code`."""

    def __init__(self, wrapper, scope=None):
        self.wrapper, self.scope = wrapper, scope


# Reading


def parse(text):
    def members(pairs):
        if len({key for key, _ in pairs}) < len(pairs):
            raise Refused("duplicate_key")
        return Obj(pairs)

    def number(text):
        exponent = re.search(r"[eE][+-]?0*(\d*)$", text)
        if exponent and len(exponent[1]) > 9:
            raise Refused("number")
        return Num(text)

    def constant(_):
        raise Refused("syntax")

    # Beyond the first bracket that is too deep, nothing needs reading.
    if nesting(text) > 3 * MAX_DEPTH + 3:
        raise Refused("too_deep")
    try:
        value = json.loads(
            text, object_pairs_hook=members, parse_int=number, parse_float=number, parse_constant=constant
        )
    except json.JSONDecodeError as e:
        kinds = {"Invalid control character": "control_character", "Invalid \\": "escape"}
        raise Refused(next((k for start, k in kinds.items() if e.msg.startswith(start)), "syntax")) from e
    refuse_surrogates(value)
    return value


def nesting(text):
    depth = deepest = 0
    for token in re.findall(r'"(?:[^"\\]|\\.)*"|[\[{\]}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def refuse_surrogates(value):
    if isinstance(value, Obj):
        for key, member in value:
            refuse_surrogates(key)
            refuse_surrogates(member)
    elif isinstance(value, list):
        for item in value:
            refuse_surrogates(item)
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise Refused("lone_surrogate")


# Interchange


def unwrap(value, depth=0):
    if isinstance(value, Obj):
        if value and value[0][0].startswith("$"):
            names = sorted(key for key, _ in value)
            reader = WRAPPERS.get(tuple(names))
            if reader:
                try:
                    return reader(dict(value), depth)
                except (AttributeError, KeyError, TypeError, ValueError) as e:
                    raise Refused("wrapper") from e
        return unwrap_members(value, depth)
    if isinstance(value, list):
        if depth >= MAX_DEPTH:
            raise Refused("too_deep")
        return [unwrap(item, depth + 1) for item in value]
    return value


def unwrap_members(value, depth):
    if depth >= MAX_DEPTH:
        raise Refused("too_deep")
    return Obj((key, unwrap(member, depth + 1)) for key, member in value)


def need(condition):
    if not condition:
        raise ValueError


def string(value):
    need(isinstance(value, str) and not isinstance(value, Num))
    return value


def hex_digits(text, digits):
    need(re.fullmatch("[0-9a-fA-F]{%d}" % digits, string(text)))
    return text.lower()


def integer(text, bits):
    need(re.fullmatch("0|-?[1-9][0-9]*", string(text)) and -(1 << bits - 1) <= int(text) < 1 << bits - 1)
    return text


def parts(value, *names):
    need(isinstance(value, Obj) and sorted(key for key, _ in value) == sorted(names))
    return [dict(value)[name] for name in names]


def whole(value):
    need(isinstance(value, Num))
    sign, digits, point = digits_of(value)
    need(len(digits) <= point <= 19 or not digits)
    return int(sign + digits.ljust(point, "0")) if digits else 0


def read_date(value, _depth):
    value = value["$date"]
    if isinstance(value, Num):
        ms = whole(value)
    elif isinstance(value, Obj):
        (text,) = parts(value, "$numberLong")
        ms = int(integer(text, 64))
    else:
        match = re.fullmatch(
            r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,3}))?(Z|[+-]\d\d:\d\d)", string(value)
        )
        need(match)
        instant = datetime.datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        ms = (instant - epoch) // datetime.timedelta(milliseconds=1) + int((match[2] or "0").ljust(3, "0"))
    return Ext(Obj([("$date", Obj([("$numberLong", str(ms))]))]))


def read_binary(value, _depth):
    data, subtype = parts(value["$binary"], "base64", "subType")
    need(re.fullmatch("[0-9a-fA-F]{1,2}", string(subtype)))
    data = base64.b64encode(base64.b64decode(string(data), validate=True)).decode()
    return binary(data, int(subtype, 16))


def binary(data, subtype):
    return Ext(Obj([("$binary", Obj([("base64", data), ("subType", "%02x" % subtype)]))]))


def read_uuid(value, _depth):
    text = string(value["$uuid"])
    need(re.fullmatch("-".join("[0-9a-fA-F]{%d}" % n for n in (8, 4, 4, 4, 12)), text))
    return binary(base64.b64encode(bytes.fromhex(text.replace("-", ""))).decode(), 4)


def read_double(value, _depth):
    text = string(value["$numberDouble"])
    if text in ("NaN", "Infinity", "-Infinity"):
        return Num("NaN")
    digits = digits_of(text)[1]
    double = float(text)
    need(abs(double) != float("inf") and (double != 0 or not digits))
    return Num(repr(double))


def read_decimal(value, _depth):
    text = string(value["$numberDecimal"])
    if re.fullmatch(r"nan|[+-]?inf(inity)?", text, re.IGNORECASE):
        return Num("NaN")
    _, digits, point = digits_of(text)
    # What has an exponent between those of the least and the greatest 34 digits.
    need(len(digits) <= 34 and (not digits or (point - len(digits) >= -6176 and point <= 6145)))
    return Num(text)


def read_timestamp(value, _depth):
    numbers = [whole(number) for number in parts(value["$timestamp"], "t", "i")]
    need(all(0 <= n < 1 << 32 for n in numbers))
    return Ext(Obj([("$timestamp", Obj([("t", Num(numbers[0])), ("i", Num(numbers[1]))]))]))


def read_regex(value, _depth):
    pattern, options = (string(part) for part in parts(value["$regularExpression"], "pattern", "options"))
    return Ext(Obj([("$regularExpression", Obj([("pattern", pattern), ("options", "".join(sorted(options)))]))]))


def read_code(value, depth):
    code = string(value["$code"])
    if "$scope" not in value:
        return Ext(Obj([("$code", code)]))
    scope = unwrap(value["$scope"], depth)
    need(isinstance(scope, Obj))
    return Ext(Obj([("$code", code)]), scope)


def read_pointer(value, _depth):
    namespace, target = parts(value["$dbPointer"], "$ref", "$id")
    target = hex_digits(parts(target, "$oid")[0], 24)
    return Ext(Obj([("$dbPointer", Obj([("$ref", string(namespace)), ("$id", Obj([("$oid", target)]))]))]))


def read_store(value, _depth):
    kind, text = (string(part) for part in parts(value["$store"], "type", "text"))
    return Ext(Obj([("$store", Obj([("type", kind), ("text", text)]))]))


def read_literal(value, depth):
    need(isinstance(value["$literal"], Obj))
    return unwrap_members(value["$literal"], depth)


def fixed(name, check):
    def read(value, _depth):
        need(check(value[name]))
        return Ext(Obj([(name, value[name])]))

    return read


def is_one(value):
    return isinstance(value, Num) and whole(value) == 1


WRAPPERS = {
    ("$oid",): lambda v, _: Ext(Obj([("$oid", hex_digits(v["$oid"], 24))])),
    ("$date",): read_date,
    ("$binary",): read_binary,
    ("$uuid",): read_uuid,
    ("$numberInt",): lambda v, _: Num(integer(v["$numberInt"], 32)),
    ("$numberLong",): lambda v, _: Num(integer(v["$numberLong"], 64)),
    ("$numberDouble",): read_double,
    ("$numberDecimal",): read_decimal,
    ("$timestamp",): read_timestamp,
    ("$regularExpression",): read_regex,
    ("$code",): read_code,
    ("$code", "$scope"): read_code,
    ("$symbol",): lambda v, _: Ext(Obj([("$symbol", string(v["$symbol"]))])),
    ("$dbPointer",): read_pointer,
    ("$minKey",): lambda v, _: fixed("$minKey", is_one)({"$minKey": Num(whole(v["$minKey"]))}, 0),
    ("$maxKey",): lambda v, _: fixed("$maxKey", is_one)({"$maxKey": Num(whole(v["$maxKey"]))}, 0),
    ("$undefined",): fixed("$undefined", lambda v: v is True),
    ("$store",): read_store,
    ("$literal",): read_literal,
}


# Field policy: (steps, secret or ignored), and globs at the top level


def steps_of(path):
    """Steps of a path: a str is a member, an int an element, None every element."""
    steps = []
    for quoted, bare, index in re.findall(r'\.?(?:("(?:[^"\\]|\\.)*")|([^.\["]+))|\[([^\]]*)\]', path):
        if quoted:
            steps.append(json.loads(quoted))
        elif bare:
            steps.append(bare)
        else:
            steps.append(None if index in ("", "*") else int(index))
    return steps


class Policy:
    def __init__(self, policy):
        self.paths = [[name] for name in policy.get("ignore_fields", [])]
        self.paths += map(steps_of, policy.get("ignore_paths", []) + policy.get("secret_fields", []))
        self.globs = policy.get("ignore_patterns", [])

    def strips(self, place):
        def same(rule, step):
            if isinstance(step, int):
                return rule is None or (isinstance(rule, int) and rule == step)
            return isinstance(rule, str) and nfc(rule) == nfc(step)

        if any(len(p) == len(place) and all(map(same, p, place)) for p in self.paths):
            return True
        return len(place) == 1 and isinstance(place[0], str) and any(
            fnmatch.fnmatchcase(nfc(place[0]), nfc(glob)) for glob in self.globs
        )


# Writing


def nfc(text):
    return unicodedata.normalize("NFC", text)


def digits_of(text):
    """Sign, digits without zeros at either end, and where the point stands in them."""
    match = re.fullmatch(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", text)
    if not match or not (match[2] or match[3]):
        raise ValueError(text)
    whole, fraction = match[2], match[3] or ""
    point = len(whole) + int(match[4] or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    return ("-" if match[1] == "-" and digits else ""), digits, point


def lay_out(text):
    """ECMA-262 §6.1.6.1.20, steps 6 to 12, for any number of digits."""
    if text == "NaN":
        raise Refused("not_finite")
    sign, s, n = digits_of(text)
    k = len(s)
    if k == 0:
        return "0"
    if k <= n <= 21:
        return sign + s + "0" * (n - k)
    if 0 < n <= 21:
        return sign + s[:n] + "." + s[n:]
    if -6 < n <= 0:
        return sign + "0." + "0" * -n + s
    e = ("+" if n > 0 else "-") + str(abs(n - 1))
    return sign + s[0] + ("." + s[1:] if k > 1 else "") + "e" + e


ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def quote(text):
    def escape(c):
        return ESCAPES.get(c) or ("\\u%04x" % ord(c) if c < " " else c)

    return '"' + "".join(map(escape, nfc(text))) + '"'


def show(place):
    out = ""
    for step in place:
        if isinstance(step, int):
            out += "[%d]" % step
            continue
        bare = step and not any(c in '.[]"\\=:' or c.isspace() or unicodedata.category(c) == "Cc" for c in step)
        out += ("." if out else "") + (step if bare else json.dumps(step, ensure_ascii=False))
    return out


def canonical(value, policy=Policy({}), place=(), depth=0):
    if isinstance(value, Ext):
        # What stands in a wrapper is neither escaped nor subject to rules.
        members = [(k, wrapper_text(v)) for k, v in value.wrapper]
        if value.scope is not None:
            members.append(("$scope", canonical(value.scope, Policy({}), place + ("$scope",), depth)))
        return "{" + ",".join(quote(k) + ":" + v for k, v in members) + "}"
    if isinstance(value, Obj):
        return canonical_object(value, policy, place, depth)
    if isinstance(value, list):
        if depth >= MAX_DEPTH:
            raise Refused("too_deep", show(place))
        kept = [(place + (n,), item) for n, item in enumerate(value) if not policy.strips(place + (n,))]
        return "[" + ",".join(canonical(item, policy, at, depth + 1) for at, item in kept) + "]"
    if isinstance(value, Num):
        try:
            return lay_out(value)
        except Refused as refused:
            raise Refused(refused.kind, show(place)) from None
    return {None: "null", True: "true", False: "false"}[value] if not isinstance(value, str) else quote(value)


def wrapper_text(value):
    if isinstance(value, Obj):
        members = sorted(value, key=lambda member: member[0])
        return "{" + ",".join(quote(k) + ":" + wrapper_text(v) for k, v in members) + "}"
    return canonical(value)


def canonical_object(value, policy, place, depth):
    if depth >= MAX_DEPTH:
        raise Refused("too_deep", show(place))
    kept = [(k, v) for k, v in value if v is not None and not policy.strips(place + (k,))]
    seen = set()
    # Of two equal names the one reported comes first in order, and later in the document.
    for key, _ in sorted(kept, key=lambda member: nfc(member[0]).encode("utf-16-be")):
        if nfc(key) in seen:
            raise Refused("equal_keys", show(place + (key,)))
        seen.add(nfc(key))
    kept.sort(key=lambda member: nfc(member[0]).encode("utf-16-be"))
    text = ",".join(quote(k) + ":" + canonical(v, policy, place + (k,), depth + 1) for k, v in kept)
    text = "{" + text + "}"
    return '{"$literal":' + text + "}" if any(k.startswith("$") for k, _ in kept) else text


# Vectors


def run(case):
    """The canonical text of a case; raises Refused."""
    value = parse(case["input"])
    if case.get("mode", "interchange") == "interchange":
        value = unwrap(value)
    else:
        plain_depth(value)
    return canonical(value, Policy(case.get("policy", {})))


def plain_depth(value, depth=0):
    if isinstance(value, list):
        if depth >= MAX_DEPTH:
            raise Refused("too_deep")
        for item in value:
            plain_depth(item[1] if isinstance(value, Obj) else item, depth + 1)


def check(case):
    """None, or what is wrong."""
    try:
        text = run(case)
    except Refused as refused:
        if refused.kind != case.get("refused") or refused.path != case.get("path", ""):
            return f"refused: {refused.kind} at {refused.path!r}"
        return None
    if "refused" in case:
        return "accepted"
    if text != case["canonical"]:
        return text
    if hashlib.sha256(text.encode()).hexdigest() != case["oid"]:
        return "oid"
    return None


def number_text(case):
    """The canonical text of a case of numbers.json."""
    wrap = {"int32": "$numberInt", "int64": "$numberLong", "double": "$numberDouble", "decimal128": "$numberDecimal"}
    width = case["width"]
    value = parse(case["text"]) if width == "json" else unwrap(Obj([(wrap[width], case["text"])]))
    need(isinstance(value, Num))
    return lay_out(value)
