#!/bin/sh
# Both commands of the README on bare systems, which have python3 and python3-venv and neither git, nor a compiler, nor
# binutils, nor sudo, by a user of the system without any power; in Debian 13 in a directory with a space and a letter
# outside ASCII, under umask 077. The tests are those that start processes, or $BARE_DEBIAN_TESTS (empty: all). Before
# that, setting up without a network, and without python3-venv, is one line that says what helps.
# Then, in Debian 12, what root has installed is read-only, and a user without a home runs a gateway from it.
#
# What is fetched comes from where this machine gets it: by apt's mirror, pip's configuration and PIP_*, and proxies. Files
# and directories that these name are there, too. The systems are kept in ${XDG_CACHE_HOME:-~/.cache}/vitalgate-debian,
# 300 MB each; delete one to have it made anew.
# packages: debootstrap debian-archive-keyring
# as root
set -eu
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalgate-debian
started_tests='tests/test_architecture.py tests/test_ci.py tests/test_dsp_modes.py tests/test_edge_daemon_process.py
    tests/test_edge_kernel_cache.py tests/test_guides.py tests/test_system_kill.py tests/test_tools_cli.py
    tests/test_tools_mutate.py tests/test_tools_setup.py'
visitor=1000 home=/home/visitor service=4242
mask=022 read_only='' offline='' hiding=''

say() { printf 'bare_debian: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

[ "$(id -u)" = 0 ] || fail "root has to run this: sudo $0"
mkdir -p "$cache"
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 1777 "$work"

timed() { # WHAT COMMAND...
    what=$1
    shift
    begun=$(date +%s)
    "$@"
    say "$what took $(($(date +%s) - begun)) s"
}

# pip's settings of this machine as assignments for a shell, into $work/settings, and the paths that they name into
# $work/paths. The links of an index on a disk may lead to its neighbours.
note_settings() {
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip config list | .venv/bin/python -P -c '
import ast, os, shlex, sys
from pathlib import Path
OURS = {"cert", "client-cert", "constraint", "default-timeout", "extra-index-url", "find-links", "index-url", "no-index",
        "proxy", "retries", "timeout", "trusted-host"}
lines = [line.strip().partition("=") for line in sys.stdin]
found = {}
for scope in ("global", "install", ":env:"):
    for name, _, value in lines:
        if name.startswith(f"{scope}.") and (key := name.removeprefix(f"{scope}.")) in OURS:
            found["PIP_" + key.upper().replace("-", "_")] = " ".join(ast.literal_eval(value).split())
for name in ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "requests_ca_bundle"):
    for name in (name, name.upper()):
        if name in os.environ:
            found[name] = os.environ[name]
work = Path(sys.argv[1])
work.joinpath("settings").write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items()))
paths = set()
for word in " ".join(found.values()).split():
    path = Path(word.removeprefix("file://"))
    if path.is_absolute() and path.exists():
        paths.add(path.parent if word.startswith("file://") else path)
work.joinpath("paths").write_text("".join(f"{path}\n" for path in sorted(paths)))
' "$work"
    chown "$visitor" "$work/settings"
    chmod 600 "$work/settings" "$work/paths"
}

mirror() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1
}

make_system() { # SUITE
    [ ! -e "$cache/$1/made" ] || return 0
    rm -rf "${cache:?}/$1"
    [ -n "${http_proxy:-}" ] || eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    export http_proxy="${http_proxy:-}"
    debootstrap --variant=minbase --include=python3,python3-venv "$1" "$cache/$1" $(mirror) >"$cache/$1.log" 2>&1 || {
        tail -n 5 "$cache/$1.log" >&2
        fail "$1 could not be made; $cache/$1.log says more"
    }
    chroot "$cache/$1" useradd --create-home --shell /bin/sh --uid "$visitor" visitor
    touch "$cache/$1/made"
}

# A user's command in $system: no other process of this machine is seen, /tmp is empty at first, and nothing else that is
# mounted outlives it.
inside() { # USER COMMAND...
    unshare --mount --pid --fork --kill-child $offline sh -euc '
        system=$1 work=$2 read_only=$3 user=$4
        shift 4
        mount --rbind /dev "$system/dev"
        mount -t proc proc "$system/proc"
        mount --bind "$work" "$system/tmp"
        mount --bind /etc/resolv.conf "$system/etc/resolv.conf"
        while read -r path; do
            if [ -d "$path" ]; then mkdir -p "$system$path"; else
                mkdir -p "$(dirname "$system$path")"
                touch "$system$path"
            fi
            mount --bind -o ro "$path" "$system$path"
        done <"$work/paths"
        if [ -n "$read_only" ]; then
            mount --bind "$system$read_only" "$system$read_only"
            mount -o remount,bind,ro "$system$read_only"
        fi
        exec chroot --userspec="$user:$user" --groups= "$system" env -i PATH=/usr/local/bin:/usr/bin:/bin "$@"
    ' sh "$system" "$work" "$read_only" "$@"
}

checkout() { # USER DIRECTORY: what git knows or will know of this one
    rm -rf "${system:?}$2"
    mkdir -p "$system$2"
    git -c safe.directory="$PWD" ls-files -z --cached --others --exclude-standard |
        tar --create --null --files-from=- --ignore-failed-read |
        (umask "$mask" && tar --extract --no-same-owner --no-same-permissions --directory "$system$2")
    chown -R "$1:$1" "$system$2"
}

setup() { # USER DIRECTORY ARGUMENTS...
    user=$1 directory=$2
    shift 2
    inside "$user" HOME="$([ "$user" = 0 ] && echo /root || echo "$home")" PYTHONPATH="$hiding" sh -euc '
        . /tmp/settings
        umask "$1"
        cd "$2"
        shift 2
        exec sh tools/setup.sh "$@"
    ' sh "$mask" "$directory" "$@"
}

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
    timed "$suite: the system" make_system "$suite"
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
