# What the host asks of the guest. What is started stays in the background; each line that it writes goes to the console,
# behind its name in brackets. /run/NAME.pid is the process itself.

start() { # NAME COMMAND...
    local name=$1
    shift
    "$@" </dev/null > >(exec sed -u "s/^/[$name] /" >/dev/console 2>/dev/null) 2>&1 &
    echo $! >"/run/$name.pid"
}

send() { # SIGNAL NAME
    kill "-$1" "$(cat "/run/$2.pid")"
}

is_running() { # NAME
    [ -e "/run/$1.pid" ] && kill -0 "$(cat "/run/$1.pid")" 2>/dev/null
}

start_bus() {
    rm -f /run/dbus/system_bus_socket
    start bus dbus-daemon "--config-file=$here/bus.conf" --nofork --nopidfile
    for _ in $(seq 100); do
        [ ! -S /run/dbus/system_bus_socket ] || return 0
        sleep 0.05
    done
    return 1
}

# In the foreground it would read its own log on the terminal: there is none here. Its options may be set before.
start_bluetoothd() {
    start bluetoothd bluetoothd --nodetach "--configfile=$here/bluetoothd.conf" $bluetoothd_options
}

# Serial lines of adapters: hci0 is ttyS1, hci1 is ttyS3.
plug() { # NUMBER
    start "adapter$1" btattach --bredr "/dev/ttyS$((1 + 2 * $1))" --protocol h4 --speed 115200 --noflowctl
}

unplug() { # NUMBER
    send KILL "adapter$1"
}

rfkill() { # 1|0
    local switch
    for switch in /sys/class/rfkill/rfkill*/soft; do echo "$1" >"$switch"; done
}

# Its kernels are run by Python: a compiler would take longer to load than anything here lasts.
start_gateway() { # CHECKOUT INSTALLATION CONFIG
    start gateway env "PYTHONPATH=$1" VITALGATE_KERNELS=plain "$2/bin/vitalgate" run --config "$3"
}

start_counting() { # PYTHON STATE_DIRECTORY
    start counts "$1" -P "$here/counts.py" "$2"
}
