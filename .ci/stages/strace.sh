#!/bin/sh
# The real process on a disk that takes four seconds for every fsync; four minutes, or SLOW_DISK_MINUTES.
# packages: strace
set -eu
export SLOW_DISK_MINUTES="${SLOW_DISK_MINUTES:-4}"
exec .venv/bin/python -P -m pytest -q -m soak tests/test_system_slow_disk.py
