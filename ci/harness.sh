#!/usr/bin/env bash
# Makes the harness's own environment in .cache/harness from its hashed lock. Two that come at once wait for each other; a half-made
# one has no mark and is made again. Without a package index, packages come from uv's cache where an earlier clone has filled it.
#   ci/harness.sh MARK [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
mark=$1 python=${2:-python3} harness=.cache/harness lock=ci/locks/harness.txt
keep=${XDG_CACHE_HOME:-$HOME/.cache}/forklift/$(awk -F'[= ]+' '/^uv==/ { print "uv-" $2 }' $lock)
mkdir -p .cache
exec 9> .cache/harness.lock
if command -v flock > /dev/null; then flock 9; fi
[ -f "$mark" ] && exit 0

"$python" -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "error: Python 3.11 is needed\n  next  make PYTHON=/path/to/python3.11 ...")'
echo "making the harness environment (once)"
rm -rf "$harness"
"$python" -m venv "$harness"
log=$harness/install.log
awk '/^[a-z]/ { on = /^uv==/ } on' $lock > "$harness/uv.txt"
if "$harness/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$harness/uv.txt" 2> "$log"; then
    { mkdir -p "$(dirname "$keep")" && cp "$harness/bin/uv" "$keep.$$" && mv "$keep.$$" "$keep"; } 2> /dev/null || true
elif [ -x "$keep" ]; then
    cp "$keep" "$harness/bin/uv"
else
    cat "$log" >&2
    exit 1
fi
install() { UV_SYSTEM_CERTS=1 "$harness/bin/uv" pip install -q "$@" --require-hashes --python "$harness/bin/python" -r $lock; }
install 2> "$log" || install --offline 2>> "$log" || { cat "$log" >&2; exit 1; }
ln -sf ../../../forklift "$harness/bin/forklift"
touch "$mark"
