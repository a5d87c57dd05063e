#!/bin/sh
# Both commands of the README on bare systems, which have python3 and python3-venv and neither git, nor a compiler, nor
# binutils, nor sudo, by a user of the system without any power; in Debian 13 in a directory with a space and a letter
# outside ASCII, under umask 077. The tests are those that start processes, or $BARE_DEBIAN_TESTS (empty: all). Before
# that, setting up without a network, and without python3-venv, is one line that says what helps.
# Then, in Debian 12, what root has installed is read-only, and a user without a home runs a gateway from it.
# packages: debootstrap debian-archive-keyring
# as root
set -eu
cd "$(dirname "$0")/../.."
. .ci/debian.sh
started_tests='tests/test_architecture.py tests/test_ci.py tests/test_dsp_modes.py tests/test_edge_daemon_process.py
    tests/test_edge_kernel_cache.py tests/test_guides.py tests/test_system_kill.py tests/test_tools_cli.py
    tests/test_tools_mutate.py tests/test_tools_setup.py'
service=4242

refused() { # EXPECTED ARGUMENTS OF setup...
    expected=$1
    shift
    ! setup "$@" >"$work/said" 2>&1 || fail "$expected: expected, but it went well"
    sed -i '/^setup: installing/d' "$work/said"
    cat "$work/said"
    grep -q "$expected" "$work/said" || fail "$expected: expected, but said otherwise"
    [ "$(wc -l <"$work/said")" = 1 ] || fail "$expected: expected in one line"
}

both_commands() { # SUITE UMASK NAME TESTS...
    suite=$1 mask=$2 place=$home/$3
    shift 3
    system=$cache/$suite
    timed "$suite: the system" make_system "$suite" "$suite" "python3,python3-venv"
    inside "$visitor" python3 --version
    inside "$visitor" sh -c 'for p in git cc gcc ld nm strings sudo curl; do ! command -v $p || exit 1; done'
    checkout "$visitor" "$place"
    # As if Debian's python3-venv were missing.
    mkdir -p "$work/hiding"
    echo 'raise ModuleNotFoundError("No module named ensurepip")' >"$work/hiding/ensurepip.py"
    hiding=/tmp/hiding
    refused "apt install python3-venv" "$visitor" "$place" install
    hiding='' offline=--net
    timed "$suite: no network" refused "no connection to the package index" "$visitor" "$place" install
    offline=''
    timed "$suite: the README's first command" setup "$visitor" "$place" demo
    timed "$suite: the README's second command $*" setup "$visitor" "$place" test "$@"
    rm -rf "${system:?}$place"
}

# A gateway on simulated sensors, which ends when its first bundles lie there and everything is sent.
cat >"$work/gateway.sh" <<'SCRIPT'
set -eu
vitalgate=/opt/vitalgate/.venv/bin/vitalgate config=/var/lib/vitalgate/gateway.toml
said=/var/lib/vitalgate/said
umask 077
cd /
: >$said.world # or the line of an earlier world would be taken for its own
$vitalgate simulate --config $config --listen 127.0.0.1:6402 --history-hours 24 >$said.world 2>&1 &
world=$!
until grep -q 6402 $said.world; do kill -0 $world; sleep 1; done
$vitalgate run --config $config --world 127.0.0.1:6402 >$said 2>&1 &
gateway=$!
is_done() {
    $vitalgate status --config $config --json | /opt/vitalgate/.venv/bin/python -c '
import json, sys
status = json.load(sys.stdin)
streaming = all(sensor["phase"] == "streaming" for sensor in status["sensors"])
(route,) = status["deliveries"]
sys.exit(not (streaming and route["items"] > 100 and route["pending"] == route["inflight"] == 0))
'
}
for _ in $(seq 120); do
    kill -0 $gateway
    if grep -q "kernels are compiled" $said && is_done; then break; fi
    sleep 1
done
is_done
kill -TERM $gateway
wait $gateway
kill -TERM $world
wait $world || true
# Kernels of another package, which nobody has compiled either.
$vitalgate decode PMD-DATA 00ea54a2420a0000000038ff42ff53ff >/dev/null
SCRIPT

cat >"$work/gateway.toml" <<'TOML'
[gateway]
id = "gateway-1"
state_dir = "state"
[[people]]
id = "anna"
pseudonym = "patient-1"
consent = { heart_summaries = true, glucose_summaries = true, glucose_readings = true }
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
accept_just_works = true
[upstream]
directory = "bundles"
interval_s = 1.0
TOML

gateway() { # EXPECTED LINE OF THE LOG
    rm -rf "$system/var/lib/vitalgate/bundles"
    inside "$service" sh /tmp/gateway.sh || {
        cat "$system/var/lib/vitalgate/said"* >&2
        fail "the gateway failed, or delivered nothing"
    }
    sed 's/^/    /' "$system/var/lib/vitalgate/said"
    ! grep Traceback "$system/var/lib/vitalgate/said" || fail "the gateway left a traceback"
    grep -q "$1" "$system/var/lib/vitalgate/said" || fail "the gateway did not say: $1"
    say "$(find "$system/var/lib/vitalgate/bundles" -name '*.json' | wc -l) bundles"
}

# Nothing but /var/lib/vitalgate belongs to the gateway's user, who has neither name nor home. Kernels are compiled
# nowhere yet, and where they are to be kept root has left a directory that only root may write to.
of_root() { # SUITE
    system=$cache/$1 mask=022
    checkout 0 /opt/vitalgate
    timed "$1: root installs" setup 0 /opt/vitalgate demo --hours 1
    rm -rf "${system:?}/var/lib/vitalgate"
    mkdir -p "$system/var/lib/vitalgate/state"
    cp "$work/gateway.toml" "$system/var/lib/vitalgate"
    chown -R "$service:$service" "$system/var/lib/vitalgate"
    mkdir -m 555 "$system/var/lib/vitalgate/state/kernels"
    chmod -R a-w "$system/opt/vitalgate"
    read_only=/opt/vitalgate
    timed "$1: a gateway that cannot keep its kernels" gateway "compiled kernels cannot be kept"
    rm -rf "$system/var/lib/vitalgate/state"
    timed "$1: a gateway that keeps them" gateway "kernels are compiled and kept in /var/lib/vitalgate/state/kernels"
    read_only=''
    find "$system" "$work" -xdev -user "$service" ! -path "$system/var/lib/vitalgate*" >"$work/left"
    [ ! -s "$work/left" ] || fail "the gateway left $(head -n 3 "$work/left")"
    rm -rf "${system:?}/opt/vitalgate" "${system:?}/var/lib/vitalgate"
}

note_settings
both_commands trixie 077 'a höme' ${BARE_DEBIAN_TESTS-$started_tests}
both_commands bookworm 022 vitalgate ${BARE_DEBIAN_TESTS-$started_tests}
of_root bookworm
