#!/bin/sh
# The gateway on the real Bluetooth stack: kernel 6.12, and bluetoothd of Debian 12 and of 13, in a guest that needs no
# privilege; the simulated sensors are in the test process. Each scenario in tests/scenarios/bluez is played once with
# Debian 13's bluetoothd, some with Debian 12's as well, or all with $BLUEZ_BLUETOOTHD (both). What they run from is made
# once, in ${XDG_CACHE_HOME:-~/.cache}/vitalgate/bluez: the kernel takes some minutes. What each play wrote lies in
# build/bluez.
# packages: gcc libc6-dev make bc flex bison m4 perl xz-utils dbus debian-archive-keyring
set -eu
cd "$(dirname "$0")/../.."
sh tools/rig/bluez/provide.sh
# Sensors on dongles, between processes and in real time.
.venv/bin/python -P -m pytest -q -m soak tests/test_system_air.py
# These need a message bus, which a plain run of the tests may lack.
.venv/bin/python -P -m pytest -q tests/test_edge_radio_bluez_bus.py

play() { # BLUETOOTHD FILE...
    bluetoothd=$1
    shift
    PYTHONPATH=$PWD .venv/bin/python -P -m tools.rig.bluez --bluetoothd "$bluetoothd" --at-once "${BLUEZ_AT_ONCE:-2}" "$@"
}

all=tests/scenarios/bluez
play "${BLUEZ_BLUETOOTHD:-5.82}" $all/*.toml
[ -n "${BLUEZ_BLUETOOTHD:-}" ] || play 5.66 $all/first_packet.toml $all/passkey.toml $all/bluetoothd_killed.toml
