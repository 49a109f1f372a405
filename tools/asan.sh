#!/bin/sh
# The kernels' tests under AddressSanitizer, in a copy of the tree so that nothing here is rebuilt.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
copy=$(mktemp -d "${TMPDIR:-/tmp}/wimtui-asan.XXXXXX")
trap 'rm -rf "$copy"' EXIT INT TERM
git ls-files -z | tar --null -T - -cf - | tar -C "$copy" -xf -
cd "$copy"
CFLAGS="-fsanitize=address -fno-omit-frame-pointer -O1 -g" \
    "$root/.venv/bin/python" -c "from setuptools import setup; setup()" -q build_ext --inplace -j 2
# The leak checker would only see what the interpreter keeps for itself.
LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
    PYTHONPATH="$copy" "$root/.venv/bin/python" -m pytest -q -p no:cacheprovider \
    tests/codecs tests/container tests/image -m "not oracle and not slow" "$@"
