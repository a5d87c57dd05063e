#!/bin/bash
# The first process in the guest, whose root is the host's, read-only. What is kept lies in memory, and in the directory
# of the run, which the host sees. On the kernel's command line: run=DIR, that directory; here=DIR, these scripts; and
# bluez=DIR, where a version of bluetoothd is unpacked.
#
# The host's remote control is the serial line ttyS2: a line is a shell command, which is answered by what it says and
# a line "@rc" with its exit status. When the host has hung up the guest ends.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
ln -s /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/dbus /run/host /var/lib/bluetooth /dev/shm
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in run=* | here=* | bluez=*) declare "$word" ;; esac
done
mount -t hostfs host /run/host -o "$run"
ln -s "$bluez/policy" /run/dbus/policy
export PATH=$bluez/bin:$PATH
. "$here/commands.sh"
stty raw -echo </dev/ttyS2
exec 3<>/dev/ttyS2
echo "@ready" >&3
while IFS= read -r line <&3 && [ "$line" != poweroff ]; do
    # In this very shell, so that what it starts stays its child.
    eval "$line" >/run/said 2>&1 </dev/null 3>&-
    status=$?
    cat /run/said >&3
    printf '\n@rc %s\n' "$status" >&3
done
echo o >/proc/sysrq-trigger
sleep 5
