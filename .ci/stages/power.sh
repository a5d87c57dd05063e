#!/bin/sh
# The store when its power is cut, its process killed and its disk fails: a fault at every fifth write and sync by strace
# (POWER_SEED=1 to 4: the others; POWER_EVERY=1: all), calls that fail at random by libfiu, and images of what a disk may
# hold after a power cut. Three minutes.
# packages: strace fiu-utils libfiu0
set -eu
cd "$(dirname "$0")/../.."
power() {
    PYTHONPATH=$PWD .venv/bin/python -P -m tools.rig.power "$@"
}

power strace --every "${POWER_EVERY:-5}" --seed "${POWER_SEED:-0}"
power fiu --runs "${POWER_RUNS:-300}"
power images --images "${POWER_IMAGES:-4000}"
