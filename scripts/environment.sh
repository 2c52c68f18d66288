#!/bin/sh
# Makes the virtual environment, or completes it: environment.sh FOLDER LOCKFILE
# Needs a python3 (or another, by PYTHON=...) of 3.11 or newer and nothing else; every download is held to its hash.
set -eu

folder=$1
lock=$2
python=${PYTHON:-python3}

say() { printf '%s\n' "$*"; }
fail() { say "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "There is no $python here. Name a Python of 3.11 or newer: make PYTHON=/path/to/python3 ..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" -V 2>&1); 3.11 or newer is needed. Name one: make PYTHON=python3.12 ..."

# Debian keeps ensurepip, which gives a new environment its pip, in a package of its own.
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$folder"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
            say "Installing $package, which Debian's Python needs to make a virtual environment"
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
        else
            fail "$python cannot make a virtual environment. On Debian and Ubuntu: sudo apt-get install $package"
        fi
    fi
    say "Making $folder with $("$python" -V)"
    "$python" -m venv "$folder"
fi

say "Installing what $lock lists (a minute or two the first time)"
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$folder/bin/python" -m pip install --quiet --require-hashes --requirement "$lock"
# The back end is in the lock, so this downloads nothing.
"$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
