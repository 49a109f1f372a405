#!/bin/sh
# A headless tour: mounts a WIM, lists, reads and unmounts it, each command printed before it runs.
set -eu
py=${PY:-.venv/bin/python}
wim=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/wimtui-tour.XXXXXX")

wimtui() { "$py" -m wimtui "$@"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }
leave() {
    wimtui unmount "$dir" >/dev/null 2>&1 || true
    rmdir "$dir" 2>/dev/null || true
}
trap leave EXIT INT TERM

show wimtui info "$wim"
show wimtui dir "$wim" 1 | head -n 25
show wimtui verify "$wim"
show wimtui mount "$wim" 1 "$dir"
show wimtui mounts
show ls -la "$dir"
file=$(find "$dir" -type f -size +0 \( -name '*.inf' -o -name '*.rtf' \) | sort | head -n 1)
[ -n "$file" ] || file=$(find "$dir" -type f -size +0 | sort | head -n 1)
[ -z "$file" ] || { show head -c 300 "$file"; echo; }
show df -h "$dir"
show wimtui unmount "$dir"
show wimtui mounts
