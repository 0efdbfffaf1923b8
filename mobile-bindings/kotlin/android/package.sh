#!/usr/bin/env bash
# Packs the Kotlin package as an AAR for Android.
#
#   package.sh [--dry-run] [--out DIR]     the whole AAR; needs cargo-ndk, ANDROID_NDK_HOME and Maven
#   package.sh --check-alignment FILE...   whether libraries are aligned for devices with pages of 16 KB
#
# A dry run says every command in its order and lays out everything but what
# the cross compiler and Maven would make.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
version=$(sed -n 's:.*<version>\(.*\)</version>.*:\1:p' "$here/pom.xml" | head -n 1)
out=$root/target/android
dry=

# Every ABI that a store asks for, and cargo's name of it.
abis=(arm64-v8a:aarch64-linux-android armeabi-v7a:armv7-linux-androideabi x86_64:x86_64-linux-android)
page=16384

# A library may be loaded where every LOAD segment is aligned to the page or more.
check_alignment() {
    local file align segments bad=0
    for file in "$@"; do
        segments=$(readelf -lW "$file" | awk '$1 == "LOAD" { print $NF }')
        [[ -n $segments ]] || { echo "$file: is no library" >&2; bad=1; }
        for align in $segments; do
            if ((align < page)); then
                echo "$file: a segment is aligned to $((align)), not to $page" >&2
                bad=1
            fi
        done
    done
    return $bad
}

while (($#)); do
    case $1 in
    --dry-run) dry=1 ;;
    --out)
        out=${2:?--out needs a folder}
        shift
        ;;
    --check-alignment)
        shift
        check_alignment "$@"
        exit
        ;;
    *)
        echo "usage: package.sh [--dry-run] [--out DIR] | --check-alignment FILE..." >&2
        exit 2
        ;;
    esac
    shift
done

# Says a command; does it, unless this is a dry run.
run() {
    echo "+ $*"
    [[ -n $dry ]] || "$@"
}

if [[ -z $dry ]]; then
    command -v cargo-ndk >/dev/null || { echo "cargo-ndk is missing: cargo install cargo-ndk --locked" >&2; exit 1; }
    [[ -d ${ANDROID_NDK_HOME:-} ]] || { echo "ANDROID_NDK_HOME names no folder: install the NDK (27 or newer)" >&2; exit 1; }
fi

aar=$out/aar
rm -rf "$aar"
mkdir -p "$aar/jni"

for abi in "${abis[@]}"; do
    name=${abi%%:*} target=${abi##*:}
    upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
    run rustup target add "$target"
    # NDK 27 and older align to 4 KB if not told otherwise.
    run env "CARGO_TARGET_${upper}_RUSTFLAGS=-C link-arg=-Wl,-z,max-page-size=$page" \
        cargo ndk --platform 26 --target "$name" --output-dir "$aar/jni" \
        build --manifest-path "$root/Cargo.toml" --locked --release -p onsite-ffi --lib
    if [[ -n $dry ]]; then
        mkdir -p "$aar/jni/$name"
    else
        check_alignment "$aar/jni/$name/libonsite_ffi.so"
    fi
done

# The classes alone: the libraries are in jni, and none of the host's goes along.
run mvn -q -B -f "$here/../pom.xml" -DskipTests "-Donsite.library.dir=$aar/none" "-Donsite.build.dir=$out/classes" package
run cp "$out/classes/onsite-$version.jar" "$aar/classes.jar"
cp "$here/AndroidManifest.xml" "$aar/AndroidManifest.xml"
cp "$here/proguard-rules.pro" "$aar/proguard.txt"
: >"$aar/R.txt"
cp "$here/pom.xml" "$out/onsite-android-$version.pom"
run jar --create --no-manifest --file "$out/onsite-android-$version.aar" -C "$aar" .
