#!/bin/sh
# Provides what the real Bluetooth stack runs from, in ${XDG_CACHE_HOME:-~/.cache}/vitalgate/bluez, once:
#
#   linux    a kernel 6.12 in user mode, built from Debian 13's source with kernel.config beside this file
#   5.66/    bluetoothd and its tools of Debian 12, 5.82/ those of Debian 13; unpacked, with every library that they need
#            down to libc, so that they run on either
#
# Needs apt, Debian's keyring, and to build the kernel gcc make bc flex bison m4 perl xz-utils, 2.5 GB and some minutes.
# Nothing is installed. Delete the directory to have all of it made anew; what is there and as it should be stays.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vitalgate/bluez
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'bluez: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

timed() { # WHAT COMMAND...
    what=$1
    shift
    begun=$(date +%s)
    "$@"
    say "$what took $(($(date +%s) - begun)) s"
}

mirror() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian Debian //p' | head -n 1
}

# apt in a directory of its own, for which no package is installed: this machine's lists and packages stay as they are.
in_suite() { # SUITE COMMAND...
    suite=$1
    shift
    apt=$work/apt-$suite
    if [ ! -e "$apt/status" ]; then
        mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/none"
        from=$(mirror)
        printf 'deb [signed-by=%s arch=amd64] %s %s main\n' "$keyring" "${from:-http://deb.debian.org/debian}" "$suite" \
            >"$apt/sources"
        : >"$apt/status"
        in_suite "$suite" apt-get update -q
    fi
    options="-o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status -o Dir::Cache=$apt -o APT::Sandbox::User=
        -o Dir::Etc::sourcelist=$apt/sources -o Dir::Etc::sourceparts=$apt/none -o Dir::Etc::preferencesparts=$apt/none
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Install-Recommends=false -o Debug::NoLocking=true"
    command=$1
    shift
    # The options are words: no path among them has a space, or apt could not be given it.
    "$command" $options "$@" >"$work/apt.log" 2>&1 || {
        tail -n 5 "$work/apt.log" >&2
        fail "apt cannot get $* of Debian's $suite"
    }
}

# One version of bluetoothd: its package, and those that it depends on. Each program is called through their own ld.so.
bluetoothd() { # SUITE VERSION
    in_suite "$1" apt-get install --yes --download-only bluez
    made=$work/$2
    mkdir -p "$made/bin"
    for package in "$work/apt-$1"/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar --extract --directory "$made" --keep-directory-symlink \
            --wildcards --no-wildcards-match-slash --no-anchored \
            'bluetoothd' 'bluetoothctl' 'btattach' 'btmon' 'bluetooth.conf' '*.so' '*.so.*' 2>/dev/null || true
    done
    for program in libexec/bluetooth/bluetoothd bin/bluetoothctl bin/btattach bin/btmon; do
        [ -x "$made/usr/$program" ] || fail "Debian's $1 has no /usr/$program"
        wrap "$cache/$2" "$program" >"$made/bin/$(basename "$program")"
    done
    chmod 755 "$made"/bin/*
    loader=$(find "$made/lib" "$made/lib64" "$made/usr/lib" "$made/usr/lib64" -name 'ld-linux-x86-64.so.2' 2>/dev/null | head -n 1)
    policy=$(find "$made" -name bluetooth.conf | head -n 1)
    [ -n "$loader" ] && [ -n "$policy" ] || fail "Debian's $1 has no loader, or bluez no policy for D-Bus"
    cp -L "$loader" "$made/ld.so"
    cp "$policy" "$made/bluetooth.conf"
    mkdir "$made/policy" && mv "$made/bluetooth.conf" "$made/policy/"
    said=$("$made/ld.so" --library-path "$(libraries "$made")" "$made/usr/libexec/bluetooth/bluetoothd" --version)
    [ "$said" = "$2" ] || fail "Debian's $1 has bluetoothd $said, and $2 was expected"
    rm -rf "${cache:?}/$2"
    mv "$made" "$cache/$2"
}

libraries() { # ROOT
    printf '%s' "$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu"
}

wrap() { # ROOT PROGRAM
    printf '#!/bin/sh\nexec "%s/ld.so" --library-path "%s" "%s/usr/%s" "$@"\n' "$1" "$(libraries "$1")" "$1" "$2"
}

# Only what a kernel in user mode is built of is unpacked; all of drivers' Kconfig files are read.
kernel() {
    for tool in gcc make bc flex bison m4 perl xz; do
        command -v $tool >/dev/null || fail "the kernel cannot be built without $tool: apt-get install gcc make bc flex bison m4 perl xz-utils"
    done
    in_suite trixie apt-get install --yes --download-only --no-install-recommends linux-source-6.12
    dpkg-deb --fsys-tarfile "$work"/apt-trixie/archives/linux-source-6.12_*.deb |
        tar --extract --to-stdout ./usr/src/linux-source-6.12.tar.xz | xz --decompress --stdout --threads=0 |
        tar --extract --directory "$work" \
            --exclude='*/Documentation/[a-jl-z]*' --exclude='*/drivers/gpu/drm/*.[ch]' --exclude='*/tools/testing' \
            --exclude='*/tools/perf' --exclude='*/sound/*.c' --exclude='*/drivers/net/[ew]*/*.c' \
            --exclude='*/drivers/media/*.c' --exclude='*/drivers/staging/*.c' --exclude='*/drivers/infiniband/*.c' \
            --exclude='*/drivers/scsi/*.[ch]' --exclude='*.dts' --exclude='*.dtsi'
    cd "$work/linux-source-6.12"
    # A processor with AMX has 11 kB of registers, and takes them back whole or not at all; 6.12 keeps 2,696 bytes.
    sed -i 's/HOST_FP_SIZE, 2696/HOST_FP_SIZE, 16384/' arch/x86/um/user-offsets.c
    grep -q 16384 arch/x86/um/user-offsets.c || fail "this kernel keeps a processor's registers in another way"
    make ARCH=um tinyconfig >/dev/null
    ./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >/dev/null
    make ARCH=um olddefconfig >/dev/null
    grep '=y$' "$here/kernel.config" | while read -r wanted; do
        grep -q "^$wanted$" .config || fail "this kernel cannot have $wanted"
    done
    nice make ARCH=um "-j$(nproc)" linux >"$work/build.log" 2>&1 || {
        tail -n 30 "$work/build.log" >&2
        fail "the kernel could not be built"
    }
    strip --strip-debug linux -o "$cache/linux.new"
    mv "$cache/linux.new" "$cache/linux"
    cp "$here/kernel.config" "$cache/linux.config"
    cd "$here"
}

[ "$(uname -m)" = x86_64 ] || fail "a kernel in user mode runs on x86-64 alone"
mkdir -p "$cache"
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
[ -e "$cache/5.66" ] || timed "bluetoothd 5.66" bluetoothd bookworm 5.66
[ -e "$cache/5.82" ] || timed "bluetoothd 5.82" bluetoothd trixie 5.82
cmp --silent "$here/kernel.config" "$cache/linux.config" || timed "the kernel" kernel
