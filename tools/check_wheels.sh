#!/bin/sh
# Shows that everything a gateway installs exists as a ready wheel for a 64-bit Raspberry Pi (aarch64, glibc >= 2.28)
# under each Python, by installing their lock for that machine into a throw-away directory; prints the size.
#
#   sh tools/check_wheels.sh [LOCK]        needs the network and a set-up .venv (sh tools/setup.sh test)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
lock=${1:-$root/tools/locks/jit.txt}
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

"$root/.venv/bin/python" -m pip --version >/dev/null 2>&1 || "$root/.venv/bin/python" -m ensurepip >/dev/null
for version in 3.11 3.12 3.13 3.14; do
    "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
        --require-hashes --only-binary :all: --python-version "$version" --implementation cp \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_26_aarch64 \
        --platform manylinux_2_24_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        --target "$target/$version" -r "$lock"
    printf 'Python %s, aarch64: all wheels found, %s MB installed\n' "$version" "$(du -sm "$target/$version" | cut -f1)"
done
