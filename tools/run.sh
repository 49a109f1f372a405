#!/bin/sh
# `make run`: the app on a terminal, a headless tour without one.
set -eu
cd "$(dirname "$0")/.."
if [ -t 0 ] && [ -t 1 ]; then
    exec "$PY" -m wimtui app "${1:-tools/sample/sample.wim}"
fi
exec tools/tour.sh "${1:-tools/sample/sample.wim}"
