#!/usr/bin/env bash
# Swift on Debian, which brings it from trixie on: unpacked into a folder and run there. Needs root.
#
#   toolchain.sh DIR                 unpacks Debian trixie with Swift (about 3 GB) into DIR
#   toolchain.sh DIR PROGRAM ARG...  runs a program of it, on this repository and cargo's target folder
#
# The environment is handed on. What is mounted for a run goes with it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
dir=${1:?usage: toolchain.sh DIR [PROGRAM ARG...]}
shift

if (($# == 0)); then
    command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap
    mkdir -p "$dir"
    debootstrap --variant=minbase --include=ca-certificates trixie "$dir" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
    # The compiler finds its own files by /proc.
    unshare --mount bash -euc '
        mount -t proc proc "$0/proc"
        chroot "$0" apt-get update -qq
        DEBIAN_FRONTEND=noninteractive chroot "$0" apt-get install -y -qq --no-install-recommends \
            swiftlang swiftlang-dev libc6-dev libstdc++-14-dev git
        chroot "$0" apt-get clean' "$dir"
    exit
fi

dir=$(cd "$dir" && pwd)
folders=("$repository" "${CARGO_TARGET_DIR:-$repository/target}" /tmp)
exec unshare --mount bash -euc '
    dir=$1
    shift
    mount -t proc proc "$dir/proc"
    mount --rbind /dev "$dir/dev"
    while [[ $1 != -- ]]; do
        mkdir -p "$dir$1"
        mount --rbind "$1" "$dir$1"
        shift
    done
    shift
    exec chroot "$dir" "$@"' toolchain "$dir" "${folders[@]}" -- "$@"
