#!/bin/sh
# Sets up .venv with the locked versions, then does what was asked.
#
#   sh tools/setup.sh demo [ARGS]   set up, then a simulated home: vitalgate demo --hours 24 [ARGS]
#   sh tools/setup.sh test [ARGS]   set up, then ruff, mypy and pytest [ARGS]
#   sh tools/setup.sh install       set up only what a gateway runs, and compile its kernels for this machine,
#                                   unless a library of them lies in dsp/ (tools/build_kernels.py)
#   sh tools/setup.sh lock [ARGS]   write tools/locks/*.txt anew, --upgrade for newer versions (needs uv)
#
# PYTHON=... chooses the interpreter. uv is used where it is installed, else venv and pip.
# A set is installed again only when its lock, pyproject.toml, the interpreter or the directory has changed.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$root/.venv
# The locked versions have wheels for these interpreters on x86_64 and aarch64 (tools/check_wheels.sh).
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
suits() { "$1" -c "$supported" >/dev/null 2>&1; }
identity() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)'; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11 to 3.14; name another, or unset PYTHON"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in "$venv/bin/python" python3 python3.13 python3.12 python3.11 python3.14; do
        if suits "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "no Python 3.11 to 3.14 found; try: sudo apt install python3 python3-venv, or set PYTHON=/path/to/python"
}

make_venv() { # PYTHON
    if suits "$venv/bin/python" && [ "$(identity "$venv/bin/python")" = "$(identity "$1")" ]; then
        return
    fi
    if have uv; then
        uv venv --quiet --clear --python "$1" "$venv" || fail "uv could not make $venv; read the lines above"
        return
    fi
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$1 cannot make virtual environments; try: sudo apt install python3-venv"
    "$1" -m venv --clear "$venv" || fail "could not make $venv; is the disk full or the directory read-only?"
}

# Compiled to bytecode, as pip does by itself: else, where Python may write none, every start compiles numba anew.
pip_install() {
    if have uv; then
        uv pip install --quiet --compile-bytecode --python "$venv/bin/python" "$@"
        return
    fi
    # An environment that uv made has no pip.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

# Says why in one line where it can: without a network an installer says many.
installing() { # WHAT pip_install's ARGUMENTS...
    what=$1
    shift
    [ -w "$venv" ] || fail "$venv is not yours to write to; whoever owns it has to run this, or copy the directory"
    log=$venv/vitalgate-install.log
    ! pip_install "$@" >"$log" 2>&1 || return 0
    case $(cat "$log") in
    *"NewConnectionError"* | *"Max retries exceeded"* | *"Request failed after "*" retries"* | *"dns error"*)
        fail "$what could not be installed: no connection to the package index; connect this machine, or name its proxy" \
            "(https_proxy=...), then run this again; $log says more"
        ;;
    esac
    cat "$log" >&2
    fail "$what could not be installed, see above; it needs the network, 1 GB of disk and 64-bit Linux; then run this again"
}

stamp() { # SET
    { cat "$root/pyproject.toml" "$root/tools/locks/$1.txt"; printf '%s\n' "$root"; identity "$venv/bin/python"; } | cksum
}

install_set() { # jit, sim or dev: each contains the one before
    [ "$(uname -s)" = Linux ] || fail "vitalgate runs on Linux only; this is $(uname -s)"
    python=$(find_python)
    make_venv "$python"
    [ "$(cat "$venv/vitalgate-$1.stamp" 2>/dev/null)" != "$(stamp "$1")" ] || return 0
    say "installing the $1 set into $venv (about a minute the first time)"
    installing "the $1 set" --require-hashes --only-binary :all: -r "$root/tools/locks/$1.txt"
    installing "vitalgate itself" --no-deps --no-build-isolation --editable "$root"
    for set in jit sim dev; do
        stamp "$set" >"$venv/vitalgate-$set.stamp"
        [ "$set" != "$1" ] || break
    done
}

# Into .venv/kernels, from where every gateway takes them: the user that it runs as may not be able to write there.
warm() {
    "$venv/bin/python" -P -m edge.kernel_cache ||
        say "the kernels could not be compiled now; each gateway compiles them when it starts for the first time"
}

# Once, or every gateway that the tests start would compile its kernels; and beside the sources, from where the tests'
# own processes take theirs, or several would compile the same at a time.
warm_all() {
    warm
    VITALGATE_KERNELS=jit "$venv/bin/python" -P -c 'from dsp.warm import warm; warm()' || say "the tests compile kernels"
}

# One resolution serves every platform: for the oldest Python, for all pins are to be the same everywhere.
# The build backend is locked too, so that installing vitalgate itself fetches nothing that is not locked.
lock() { # [ARGS for uv]
    have uv || fail "uv is not installed; try: pip install uv"
    python=$(find_python)
    cd "$root"
    for set in runtime jit sim dev kernels; do
        [ "$set" = runtime ] && extras= || extras="--extra $set"
        "$python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' |
            uv pip compile --quiet pyproject.toml - $extras --python-version 3.11 \
                --python-platform aarch64-manylinux_2_28 --only-binary :all: --generate-hashes --no-annotate \
                --no-emit-index-url --custom-compile-command 'sh tools/setup.sh lock' -o "tools/locks/$set.txt" "$@"
    done
}

case ${1:-} in
demo)
    shift
    install_set sim
    exec "$venv/bin/vitalgate" demo --hours 24 "$@"
    ;;
test)
    shift
    install_set dev
    cd "$root"
    unset PYTHONDONTWRITEBYTECODE # or each process that a test starts would compile our sources anew
    "$venv/bin/ruff" check .
    "$venv/bin/ruff" format --check .
    warm_all & # mypy leaves a processor free
    found=0
    "$venv/bin/python" -P -m mypy || found=$?
    wait
    [ "$found" = 0 ] || exit "$found"
    exec "$venv/bin/python" -P -m pytest -n auto "$@"
    ;;
install)
    install_set jit
    warm
    ;;
lock)
    shift
    lock "$@"
    ;;
*)
    sed -n 's/^# \{0,1\}//;2,11p' "$0" >&2
    exit 2
    ;;
esac
