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
cargo build --release --quiet --locked
"$cfg" demo --keep "$pages/demo" >/dev/null
project=$(dirname "$(find "$pages/demo" -name .cfg.toml | head -n 1)")
(cd "$project" && "$cfg" log --html "$pages/log.html" && "$cfg" diff planner @1 =HEAD --html "$pages/diff.html") >/dev/null

# Says how wide what is shown became, where the page itself cannot be asked.
measured() {
    sed 's#</body>#<script>document.title = "wide " + document.documentElement.scrollWidth</script></body>#' "$1"
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
    timeout 120 chromium "${flags[@]}" --log-net-log="$net" --dump-dom "file://$pages/$name.html" >"$dom" 2>"$pages/$name.log"
    timeout 120 chromium "${flags[@]}" --screenshot="$pages/$name.png" "file://$page" >/dev/null 2>&1
    grep -q "$wanted" "$dom" || { echo "$name: '$wanted' is not shown" >&2; return 1; }
    ! grep -E 'CONSOLE' "$pages/$name.log" || { echo "$name: the console has something to say" >&2; return 1; }
    python3 - "$net" "$dom" "$width" <<'PYTHON'
import json, re, sys
text = open(sys.argv[1]).read()
asked = {url for url in re.findall(r'"url":"([^"]+)"', text) if re.match(r"(https?|wss?|ftp):", url)}
assert not asked, f"the page asks the network for {sorted(asked)}"
wide = int(re.search(r"<title>wide (\d+)</title>", open(sys.argv[2]).read()).group(1))
assert wide <= int(sys.argv[3]), f"{wide} pixels at a width of {sys.argv[3]}"
PYTHON
    echo "$name: as it should be"
}

for width in 500 1280; do
    look "$pages/log.html" "$width" planner
    look "$pages/diff.html" "$width" planner
done
