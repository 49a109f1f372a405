#!/bin/sh
# `make run`: the app on a terminal, a headless tour without one. Without a WIM, on a sample that
# is made here first, so that what is committed to it changes nothing that belongs to the project.
set -eu
cd "$(dirname "$0")/.."
wim=${1:-build/sample.wim}
[ $# -gt 0 ] || [ -e "$wim" ] || "$PY" tools/make_sample.py "$wim"
if [ -t 0 ] && [ -t 1 ]; then
    exec "$PY" -m wimtui app "$wim"
fi
exec tools/tour.sh "$wim"
