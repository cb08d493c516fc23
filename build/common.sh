# Licensed under the Apache License, Version 2.0; see LICENSE.
# shellcheck shell=sh
#
# What the scripts of this folder share. Sourced; wants $top, the tree's top folder.
: "${top:?}"

# Everything that these scripts make, beside what apt installs, is in build/out.
mkdir -p "$top/build/out"
echo '*' >"$top/build/out/.gitignore"

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

# Runs a command quietly; its output is shown only if it fails.
quietly() {
    log=$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        fail "this failed: $* (all of it: $log)"
    fi
}

# The tree to build from. Builds go to folders under build/out, which autotools refuse
# if the tree itself was configured; then a copy is built.
source_tree() {
    if [ ! -f "$top/config.status" ]; then
        printf '%s\n' "$top"
        return
    fi
    copy=$top/build/out/src
    rm -rf "$copy"
    mkdir -p "$copy"
    (cd "$top" && git ls-files -z --cached --others --exclude-standard |
        tar --null --ignore-failed-read -T - -cf - 2>/dev/null) | tar -xf - -C "$copy"
    printf '%s\n' "$copy"
}

# Makes configure where it is missing; later changes are noticed by make itself.
prepare_tree() {
    if [ ! -x "$1/configure" ] || [ ! -f "$1/Makefile.in" ]; then
        quietly "$top/build/out/autoreconf.log" autoreconf -fi "$1"
    fi
}

# build_module NAME TREE [configure options]: the module in build/out/NAME/.libs.
build_module() {
    out=$top/build/out/$1
    tree=$2
    shift 2
    # An old build of the same is kept, so that only what changed is compiled again.
    if [ "$(cat "$out/configured" 2>/dev/null)" != "$tree $*" ]; then
        rm -rf "$out"
        mkdir -p "$out"
        (cd "$out" && quietly "$out/configure.log" "$tree/configure" "$@")
        printf '%s\n' "$tree $*" >"$out/configured"
    fi
    quietly "$out/make.log" make -C "$out" -j"$(nproc)"
    [ -f "$out/.libs/mod_bosh.so" ] || fail "the build made no $out/.libs/mod_bosh.so"
}
