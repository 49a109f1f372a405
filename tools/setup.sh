#!/bin/sh
# Set up this checkout: system packages through apt-get, a .venv, the compiled kernels.
# Usage: tools/setup.sh run|test      (test adds what the tests and the linters need)
set -eu
cd "$(dirname "$0")/.."
purpose=${1:-run}
python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

debian="" fedora="" arch=""
need() { # need DEBIAN FEDORA ARCH REASON
    say "missing: $1 ($4)"
    debian="$debian $1" fedora="$fedora $2" arch="$arch $3"
}
have() { command -v "$1" >/dev/null 2>&1; }

have "$python" || need python3 python3 python "the interpreter, 3.11 or later"
if have "$python"; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        say "wimtui needs Python 3.11 or later; $python is $("$python" -V 2>&1)."
        say "Name a newer one: make PYTHON=python3.12 $purpose"
        exit 1
    }
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        need python3-venv python3 python "makes the .venv"
    "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        need python3-dev python3-devel python "headers to compile the codecs"
else
    need python3-venv python3 python "makes the .venv"
    need python3-dev python3-devel python "headers to compile the codecs"
fi
have cc || have gcc || need gcc gcc gcc "compiles the codecs"
[ -e /usr/include/stdlib.h ] || need libc6-dev glibc-devel glibc "C headers"
have pkg-config || need pkg-config pkgconf-pkg-config pkgconf "finds libfuse for pyfuse3"
have fusermount3 || need fuse3 fuse3 fuse3 "mounts and unmounts as a user"
{ have pkg-config && pkg-config --exists fuse3; } ||
    need libfuse3-dev fuse3-devel fuse3 "headers to build pyfuse3"
if [ "$purpose" = test ]; then
    have wimlib-imagex || need wimtools wimlib-utils wimlib "the peer that tests compare with"
    have setfattr || need attr attr attr "sets named streams in tests"
    have tmux || need tmux tmux tmux "a real terminal for tests of the app"
    have rsync || need rsync rsync rsync "copies trees in tests"
fi

if [ -n "$debian" ]; then
    if ! have apt-get; then
        say "Install these and run make again; nothing has been changed:"
        say "  dnf install$fedora"
        say "  pacman -S$arch"
        exit 1
    fi
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    say "+${sudo:+ $sudo} apt-get install$debian"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $debian >/dev/null
fi

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    say "+ $python -m venv .venv"
    rm -rf .venv
    "$python" -m venv .venv
fi
# What setuptools calls experimental is how the codecs are declared.
export PYTHONWARNINGS='ignore:`[tool.setuptools.ext-modules]`'
group=build
[ "$purpose" = test ] && group=dev
is_compiled=no
pip() { .venv/bin/python -m pip install -q --disable-pip-version-check "$@" 2>&1 | grep -v WARNING >&2 || true; }
say "+ pip install --group $group"
pip -U 'pip>=25.1'
pip --group "$group"
if [ ! -e build/.kernels ] || [ pyproject.toml -nt build/.kernels ] || [ ! -x .venv/bin/wimtui ]; then
    say "+ pip install -e .  (compiles the codecs: a minute or two)"
    pip --no-build-isolation -e .
    is_compiled=yes
fi
.venv/bin/python -c 'import pyfuse3, posix_ipc, textual, Cython' # stops here if pip failed
touch ".venv/.ready-$purpose"
# The kernels lie in place: make has nothing left to compile.
[ "$is_compiled" = no ] || { mkdir -p build && touch build/.kernels; }
[ "$purpose" = test ] && touch .venv/.ready-run
exit 0
