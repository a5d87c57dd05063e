# For stages that root runs in Debian systems of their own: how a system is made, and what happens in it.
#
# What is fetched comes from where this machine gets it: by apt's mirror, pip's configuration and PIP_*, and proxies. Files
# and directories that these name are there, too. The systems are kept in ${XDG_CACHE_HOME:-~/.cache}/vitalgate-debian,
# 300 MB each; delete one to have it made anew.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalgate-debian
visitor=1000 home=/home/visitor
mask=022 read_only='' offline='' hiding=''

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
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

make_system() { # NAME SUITE PACKAGES
    [ ! -e "$cache/$1/made" ] || return 0
    rm -rf "${cache:?}/$1"
    [ -n "${http_proxy:-}" ] || eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
    export http_proxy="${http_proxy:-}"
    debootstrap --variant=minbase --include="$3" "$2" "$cache/$1" $(mirror) >"$cache/$1.log" 2>&1 || {
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
