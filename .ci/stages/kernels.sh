#!/bin/sh
# The libraries of kernels: built for both machines, twice the same; that for x86-64 tested against numba, and with a
# gateway that runs on it for ten minutes, or LIBRARY_MINUTES. They are left in build/kernels.
# packages: gcc libc6-dev
set -eu
cd "$(dirname "$0")/../.."
out=$PWD/build/kernels
compiler=build/kernels-venv
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

if [ ! -x $compiler/bin/python ]; then
    .venv/bin/python -m venv --clear $compiler
fi
$compiler/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    -r tools/locks/kernels.txt
for place in "$out" "$again"; do
    PYTHONPATH=$PWD $compiler/bin/python -P -m tools.build_kernels --machine x86_64 --machine aarch64 --out "$place"
done
for machine in x86_64 aarch64; do
    cmp "$out/kernels-$machine.so" "$again/kernels-$machine.so"
    sha256sum "$out/kernels-$machine.so"
done

export VITALGATE_KERNEL_LIBRARY="$out/kernels-x86_64.so"
.venv/bin/python -P -m pytest -q -m "soak or not soak" tests/test_dsp_compiled.py
.venv/bin/python -P -m pytest -q "tests/test_dsp_modes.py::test_everything_passes[library]"
exec .venv/bin/python -P -m pytest -q -s -m soak tests/test_system_library.py
