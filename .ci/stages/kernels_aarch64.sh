#!/bin/sh
# The aarch64 library of kernels, which the stage kernels has left in build/kernels, in an aarch64 Python under qemu:
# it is loaded, and gives what numba gives here. That system is kept in build/arm64.
# packages: qemu-user-static debootstrap fakeroot
set -eu
cd "$(dirname "$0")/../.."
library=$PWD/build/kernels/kernels-aarch64.so
system=$PWD/build/arm64
python=.venv/bin/python

# A system that is unpacked and never set up: all that is wanted of it is Python.
if [ ! -e "$system/done" ]; then
    rm -rf "$system"
    fakeroot debootstrap --arch=arm64 --foreign --variant=minbase --include=python3 bookworm "$system"
    for package in "$system"/var/cache/apt/archives/*.deb; do
        dpkg-deb -x "$package" "$system"
    done
    version=$(basename "$(find "$system/usr/bin" -name 'python3.[0-9]*' | head -n 1)")
    grep -A100 '^numpy==' tools/locks/runtime.txt | awk 'NR > 1 && /^[a-z]/ {exit} {print}' >"$system/numpy.txt"
    "$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary :all: \
        --require-hashes --python-version "${version#python}" --implementation cp \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        --target "$system/opt/numpy" -r "$system/numpy.txt"
    ln -sf "$version" "$system/usr/bin/python"
    touch "$system/done"
fi

there() { # runs Python in it
    qemu-aarch64-static -L "$system" -E "PYTHONPATH=$PWD:$system/opt/numpy" -E PYTHONDONTWRITEBYTECODE=1 \
        -E VITALGATE_KERNELS=library -E "VITALGATE_KERNEL_LIBRARY=$library" "$system/usr/bin/python" -P "$@"
}

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
there -c '
import platform, timeit
import numpy
begin = timeit.default_timer()
import dsp.compiled
print(platform.machine(), platform.python_version(), "numpy", numpy.__version__, dsp.mode.MODE, end=", ")
print(f"door and library loaded in {1000 * (timeit.default_timer() - begin):.0f} ms (under emulation)")
from dsp.warm import warm
warm()
'
VITALGATE_KERNELS=jit PYTHONPATH=$PWD "$python" -P tests/kernel_cases.py write "$results/here"
there tests/kernel_cases.py write "$results/there"
VITALGATE_KERNELS=plain PYTHONPATH=$PWD "$python" -P tests/kernel_cases.py compare "$results/here" "$results/there"
