#!/bin/sh
# The real process on a disk that takes four seconds for every fsync; ten minutes, or SLOW_DISK_MINUTES.
# packages: strace
set -eu
exec .venv/bin/python -P -m pytest -q -m soak tests/test_system_slow_disk.py
