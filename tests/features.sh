#!/usr/bin/env bash
# Runs the vectors with the features of serde_json on that a user's build may turn on for everyone:
# no hash may change.
set -euo pipefail
cd "$(dirname "$0")/.."
features=serde_json/arbitrary_precision,serde_json/preserve_order
# With the features really on, or this would prove nothing.
for feature in arbitrary_precision preserve_order; do
    cargo tree -q -p cfg-engine -e features,no-build -i serde_json --features "$features" |
        grep -qF "serde_json feature \"$feature\"" || { echo "serde_json/$feature is not on" >&2; exit 1; }
done
cargo test -q -p cfg-engine --test vectors --features "$features" "$@"
cargo test -q -p cfg-engine --lib serde_json --features "$features" "$@"
