#!/usr/bin/env bash
# Builds the library of kernels for both machines, twice, and shows that the bytes are the same.
#
#   bash .ci/kernels.sh [DIR]          the libraries are left in DIR (build/kernels)
#
# Needs a set-up .venv (sh tools/setup.sh test) and the network, for the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(realpath -m "${1:-build/kernels}")

again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

compiler=build/kernels-venv
if [ ! -x $compiler/bin/python ]; then
    .venv/bin/python -m venv --clear $compiler
    $compiler/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r tools/locks/kernels.txt
fi
for place in "$out" "$again"; do
    PYTHONPATH=$PWD $compiler/bin/python -P -m tools.build_kernels --machine x86_64 --machine aarch64 --out "$place"
done
for machine in x86_64 aarch64; do
    cmp "$out/kernels-$machine.so" "$again/kernels-$machine.so"
    sha256sum "$out/kernels-$machine.so"
done
