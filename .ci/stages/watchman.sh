#!/bin/sh
# The watchman under a real systemd, in a container with Debian 13: four gateways on simulated sensors, each as the
# service of edge/README.md with Restart=no, and each with the units of tools/systemd. One is killed, one is stopped by a
# signal, one gets stuck in a compiled function: "gateway silent" rings by command and by HTTP within 90 s, and once they
# run again it is over, once. The fourth is well for three minutes (or $WATCHMAN_WELL_S), in which nothing rings. Then its
# installation, its state and its configuration are removed, it is killed, and the watchman rings.
# packages: debootstrap debian-archive-keyring systemd-container
# as root
set -eu
cd "$(dirname "$0")/../.."
. .ci/debian.sh
well_s=${WATCHMAN_WELL_S:-180}
ring_s=90
# Where the container's init runs, once it runs.
init=''

within() { nsenter --target "$init" --mount --uts --ipc --net --pid --root --wd "$@"; }

uptime_s() { cut -d. -f1 /proc/uptime; }

# What a gateway's watchman has told: a line each, with the seconds since the machine was started, by command or by HTTP.
told() { # command|http GATEWAY
    within cat "/run/vitalgate-watch-$2/rung" "/var/lib/ring/posted" 2>/dev/null | grep "^[0-9]* $1 $2 " || true
}

count() { # command|http GATEWAY WHAT
    told "$1" "$2" | grep -c "\"what\": \"$3\"" || true
}

fail_with_log() { # WHAT...
    within journalctl --no-pager -n 80 -o short-monotonic >&2 || true
    fail "$@"
}

until_told() { # GATEWAY WHAT SINCE LIMIT
    for way in command http; do
        while [ "$(count $way "$1" "$2")" = 0 ]; do
            [ $(($(uptime_s) - $3)) -le "$4" ] || fail_with_log "$1: no $2 by $way within $4 s"
            sleep 1
        done
        at=$(told $way "$1" | grep "\"what\": \"$2\"" | cut -d' ' -f1)
        [ $((at - $3)) -le "$4" ] || fail_with_log "$1: $2 by $way after $((at - $3)) s"
        say "$1: $2 by $way after $((at - $3)) s"
    done
}

# The service of the guide, as it stands there, but for its name and for Restart.
service() { # NAME
    sed -n '/^    \[Unit\]$/,/^    WantedBy=/s/^    //p' edge/README.md |
        sed -e "s|Directory=vitalgate|Directory=vitalgate-$1|" -e 's|^Restart=.*|Restart=no|' \
            -e "s|run --config /etc/vitalgate/gateway.toml|run --simulate --config /etc/vitalgate/$1.toml|"
}

config() { # NAME
    cat <<TOML
[gateway]
id = "$1"
state_dir = "/var/lib/vitalgate-$1"
[[people]]
id = "anna"
pseudonym = "patient-1"
consent = { heart_summaries = true }
[[sensors]]
id = "strap"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "anna"
[[sensors]]
id = "cgm"
kind = "cgm"
address = "F0:00:00:00:00:02"
person = "anna"
[upstream]
directory = "/var/lib/vitalgate-$1/bundles"
TOML
}

install_gateway() { # NAME
    units=$system/etc/systemd/system
    config "$1" >"$system/etc/vitalgate/$1.toml"
    service "$1" >"$units/vitalgate-$1.service"
    mkdir -p "$system/var/lib/vitalgate-$1/bundles"
    for kind in service timer; do
        cp "tools/systemd/vitalgate-watch.$kind" "$units/vitalgate-watch-$1.$kind"
    done
    cat >"$system/etc/vitalgate-watch-$1.env" <<ENV
VITALGATE_WATCH_NAME=$1
VITALGATE_WATCH_HEARTBEAT=/run/vitalgate-$1/heartbeat
VITALGATE_WATCH_COMMAND="/usr/local/bin/ring $1"
VITALGATE_WATCH_URL=http://127.0.0.1:8099/$1
ENV
    chmod 600 "$system/etc/vitalgate-watch-$1.env"
}

install_routes() {
    cat >"$system/usr/local/bin/ring" <<'SCRIPT'
#!/bin/sh
printf '%s command %s %s\n' "$(cut -d. -f1 /proc/uptime)" "$1" "$(cat)" >>"$RUNTIME_DIRECTORY/rung"
SCRIPT
    chmod 755 "$system/usr/local/bin/ring"
    cat >"$system/usr/local/bin/receive" <<'SCRIPT'
import http.server
class Posted(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("/proc/uptime") as uptime, open("/var/lib/ring/posted", "a") as file:
            print(uptime.read().split(".")[0], "http", self.path[1:], body, file=file)
        self.send_response(204)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Posted).serve_forever()
SCRIPT
    cat >"$system/etc/systemd/system/receive.service" <<'UNIT'
[Service]
StateDirectory=ring
ExecStart=/usr/bin/python3 /usr/local/bin/receive
UNIT
}

# The process of that command, which SIGUSR1 sticks into a compiled function that never returns.
install_stuck() {
    cat >"$system/usr/local/bin/stuck.py" <<'SCRIPT'
import runpy, signal
def stick(*_):
    from numba import njit
    @njit
    def turn(number):
        while number:
            number = number + 1 | 1
        return number
    turn(1)
signal.signal(signal.SIGUSR1, stick)
runpy.run_module("tools.rig.home.simulated_gateway", run_name="__main__", alter_sys=True)
SCRIPT
    sed -i 's|/bin/vitalgate run --simulate|/bin/python -P /usr/local/bin/stuck.py|' "$system/etc/systemd/system/vitalgate-stuck.service"
}

clear_system() {
    rm -rf "${system:?}"/opt/vitalgate "$system"/etc/vitalgate* "$system"/var/lib/vitalgate* "$system/var/lib/ring" \
        "$system"/etc/systemd/system/vitalgate* "$system/etc/systemd/system/receive.service" \
        "$system/usr/local/lib/vitalgate" "$system"/usr/local/bin/* "$system/var/log/journal"
}

install_all() {
    checkout 0 /opt/vitalgate
    timed "the installation" setup 0 /opt/vitalgate demo --hours 0.1
    timed "the kernels" setup 0 /opt/vitalgate install
    mkdir -p "$system/etc/vitalgate"
    install -D tools/watch_alerts.py "$system/usr/local/lib/vitalgate/watch_alerts.py"
    for name; do install_gateway "$name"; done
    install_routes
    install_stuck
    chroot "$system" groupadd --force --system bluetooth
    chroot "$system" useradd --system vitalgate 2>/dev/null || chroot "$system" id vitalgate >/dev/null
    for name; do chroot "$system" chown -R vitalgate:bluetooth "/var/lib/vitalgate-$name"; done
}

boot() {
    mkdir -p /run/systemd/nspawn
    systemd-nspawn --quiet --directory="$system" --boot --keep-unit --register=no --private-network \
        </dev/null >"$work/console" 2>&1 &
    container=$!
    trap 'kill -KILL "$init" "$container" 2>/dev/null || true; wait "$container" 2>/dev/null || true; clear_system; rm -rf "$work"' EXIT
    for _ in $(seq 60); do
        init=$(cat "/proc/$container/task/$container/children" 2>/dev/null)
        init=${init%% *}
        [ -z "$init" ] || ! within systemctl is-system-running --wait >"$work/state" 2>&1 || break
        kill -0 "$container" 2>/dev/null || break
        sleep 1
    done
    grep -q running "$work/state" || {
        tail -n 20 "$work/console" >&2
        fail "systemd did not start in the container: $(cat "$work/state")"
    }
}

until_it_runs() { # GATEWAY
    begun=$(uptime_s)
    until within grep -q '"phase": "running"' "/run/vitalgate-$1/heartbeat" 2>/dev/null; do
        [ $(($(uptime_s) - begun)) -le 240 ] || fail_with_log "$1 does not run"
        sleep 1
    done
}

note_settings
system=$cache/trixie-systemd
timed "the system" make_system trixie-systemd trixie python3,python3-venv,systemd,systemd-sysv,dbus
clear_system
install_all killed stopped stuck well
boot
within systemctl start receive.service
for name in killed stopped stuck well; do
    within systemctl start "vitalgate-$name.service" "vitalgate-watch-$name.timer"
    until_it_runs "$name"
done
well_since=$(uptime_s)
sleep 20 # so that what is stuck below is a gateway at work, and its watchman has seen it
for name in killed stopped stuck well; do
    [ -z "$(told command $name)" ] || fail_with_log "$name rang while it started"
done

within systemctl kill --signal=KILL vitalgate-killed.service
within systemctl kill --signal=STOP vitalgate-stopped.service
within systemctl kill --signal=USR1 vitalgate-stuck.service
since=$(uptime_s)
for name in killed stopped stuck; do until_told $name raised "$since" "$ring_s"; done
within systemctl is-active --quiet vitalgate-stuck.service || fail_with_log "the gateway that is stuck has ended"

within systemctl start vitalgate-killed.service
within systemctl kill --signal=CONT vitalgate-stopped.service
within systemctl kill --signal=KILL vitalgate-stuck.service
while within systemctl is-active --quiet vitalgate-stuck.service; do sleep 1; done
within systemctl start vitalgate-stuck.service
since=$(uptime_s)
for name in killed stopped stuck; do until_told $name over "$since" 240; done

while [ $(($(uptime_s) - well_since)) -lt "$well_s" ]; do sleep 5; done
[ -z "$(told command well)$(told http well)" ] || fail_with_log "a gateway that was well has rung"
[ -z "$(within journalctl --no-pager --quiet -u vitalgate-watch-well.service)" ] || fail_with_log "looks fill the journal"
for name in killed stopped stuck; do
    for way in command http; do
        [ "$(count $way $name over)" = 1 ] || fail_with_log "$name: over was told $(count $way $name over) times by $way"
        [ "$(count $way $name raised)" = 1 ] || fail_with_log "$name: raised was told more than once by $way"
    done
done
say "a gateway that is well did not ring in $(($(uptime_s) - well_since)) s"

within rm -rf /opt/vitalgate /etc/vitalgate /var/lib/vitalgate-well
within systemctl kill --signal=KILL vitalgate-well.service
until_told well raised "$(uptime_s)" "$ring_s"
