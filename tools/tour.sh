#!/bin/sh
# A headless tour: mounts a WIM, lists, reads and unmounts it, then changes a small copy of it and
# commits that; each command is printed before it runs.
set -eu
py=${PY:-.venv/bin/python}
wim=$1
place=$(mktemp -d "${TMPDIR:-/tmp}/wimtui-tour.XXXXXX")
dir=$place/mnt
mkdir "$dir"

wimtui() { "$py" -m wimtui "$@"; }
show() { printf '\n$ %s\n' "$*"; "$@"; }
leave() {
    wimtui unmount --discard "$dir" >/dev/null 2>&1 || true
    rmdir "$dir" 2>/dev/null && rm -rf "$place"
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

# The rest is for a WIM of which a copy costs nothing.
[ "$(stat -c %s "$wim")" -lt 100000000 ] || exit 0
show cp "$wim" "$place/copy.wim"
show wimtui mountrw "$place/copy.wim" 1 "$dir"
show mkdir "$dir/Drivers"
show cp "$wim" "$dir/Drivers/payload.bin"
[ -z "$file" ] || show rm "$file"
show wimtui status "$dir"
show wimtui commit "$dir"
show wimtui unmount "$dir"
show wimtui mounts
