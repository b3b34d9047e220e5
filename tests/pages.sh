#!/usr/bin/env bash
# Looks at the pages that `cfg log --html` and `cfg diff --html` write, in Debian's chromium: no error on the
# console, nothing asked of the network, the text there at two widths and nothing beyond the right edge.
# Nightly: it needs chromium, which it installs where it can. Screenshots stay in .dev/pages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v chromium >/dev/null; then
    ((EUID == 0)) || { echo 'please install chromium' >&2; exit 1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi

pages=$PWD/.dev/pages
rm -rf "$pages" && mkdir -p "$pages"
cfg=$PWD/target/release/cfg
cargo build --release --quiet --locked -p cfg-engine-cli
"$cfg" demo --keep "$pages/demo" >/dev/null
project=$(dirname "$(find "$pages/demo" -name .cfg.toml | head -n 1)")
(cd "$project" && "$cfg" log --html "$pages/log.html" && "$cfg" diff planner @1 @3 --html "$pages/diff.html") >/dev/null

# A copy that says how wide it became. The page itself runs no script, and its own policy sees to it.
measured() {
    sed -e '/Content-Security-Policy/d' \
        -e 's#</body>#<script>document.title = "wide " + document.documentElement.scrollWidth</script></body>#' "$1"
}

look() {
    local page=$1 width=$2 wanted=$3
    local name dom net
    name=$(basename "$page" .html)-$width
    dom=$pages/$name.dom net=$pages/$name.net.json
    measured "$page" >"$pages/$name.html"
    local flags=(--headless=new --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking
        --disable-component-update --disable-sync --no-first-run --user-data-dir="$pages/profile-$name"
        --window-size="$width,900" --enable-logging=stderr --host-resolver-rules='MAP * ~NOTFOUND')
    timeout 120 chromium "${flags[@]}" --log-net-log="$net" --dump-dom "file://$page" >"$dom" 2>"$pages/$name.log"
    timeout 120 chromium "${flags[@]}" --screenshot="$pages/$name.png" "file://$page" >/dev/null 2>&1
    timeout 120 chromium "${flags[@]}" --dump-dom "file://$pages/$name.html" >"$dom.wide" 2>/dev/null
    grep -q "$wanted" "$dom" || { echo "$name: '$wanted' is not shown" >&2; return 1; }
    ! grep -E 'CONSOLE' "$pages/$name.log" || { echo "$name: the console has something to say" >&2; return 1; }
    python3 - "$net" "$dom.wide" "$width" <<'PYTHON'
import json, re, sys
log = open(sys.argv[1]).read().rstrip()
try:
    log = json.loads(log)
except ValueError:
    log = json.loads(log.rstrip(",") + "]}")
# The browser has questions of its own; what a page asks has the page as its initiator.
started = [event["params"] for event in log["events"] if "initiator" in event.get("params", {})]
asked = {p["url"] for p in started if p["initiator"] != "not an origin" and not re.match("(file|data):", p["url"])}
assert not asked, f"the page asks the network for {sorted(asked)}"
wide = int(re.search(r"<title>wide (\d+)</title>", open(sys.argv[2]).read()).group(1))
assert wide <= int(sys.argv[3]), f"{wide} pixels at a width of {sys.argv[3]}"
PYTHON
    echo "$name: as it should be"
}

for width in 500 1280; do
    look "$pages/log.html" "$width" planner
    look "$pages/diff.html" "$width" browser
done
