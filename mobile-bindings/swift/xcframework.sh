#!/usr/bin/env bash
# Builds the engine as an XCFramework for iOS, its simulator and macOS. Needs macOS with Xcode.
#
#   xcframework.sh [--dry-run] [--out DIR]     ONSITE_XCFRAMEWORK=DIR/OnsiteFFI.xcframework then tells Package.swift
#
# A dry run says every command in its order and lays out the headers.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/xcframework
dry=

while (($#)); do
    case $1 in
    --dry-run) dry=1 ;;
    --out)
        out=${2:?--out needs a folder}
        shift
        ;;
    *)
        echo "usage: xcframework.sh [--dry-run] [--out DIR]" >&2
        exit 2
        ;;
    esac
    shift
done

run() {
    echo "+ $*"
    [[ -n $dry ]] || "$@"
}

if [[ -z $dry ]] && ! command -v xcodebuild >/dev/null; then
    echo "xcodebuild is missing: this needs macOS with Xcode" >&2
    exit 1
fi

rm -rf "$out"
mkdir -p "$out/headers"
cp "$here/Sources/OnsiteFFI/OnsiteFFI.h" "$out/headers/"
# A framework names no library to link: it is one.
grep -v '^ *link ' "$here/Sources/OnsiteFFI/module.modulemap" >"$out/headers/module.modulemap"

export IPHONEOS_DEPLOYMENT_TARGET=15.0 MACOSX_DEPLOYMENT_TARGET=12.0
built=${CARGO_TARGET_DIR:-$root/target}
for target in aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin; do
    run rustup target add "$target"
    run cargo rustc --manifest-path "$root/Cargo.toml" --locked --release -p onsite-ffi --lib \
        --crate-type staticlib --target "$target"
done

# One library for each platform: the processors of one are joined.
join() {
    local name=$1 libraries=()
    shift
    for target in "$@"; do libraries+=("$built/$target/release/libonsite_ffi.a"); done
    run mkdir -p "$out/$name"
    run lipo -create "${libraries[@]}" -output "$out/$name/libonsite_ffi.a"
}
join ios aarch64-apple-ios
join ios-simulator aarch64-apple-ios-sim x86_64-apple-ios
join macos aarch64-apple-darwin x86_64-apple-darwin

libraries=()
for name in ios ios-simulator macos; do
    libraries+=(-library "$out/$name/libonsite_ffi.a" -headers "$out/headers")
done
run xcodebuild -create-xcframework "${libraries[@]}" -output "$out/OnsiteFFI.xcframework"
