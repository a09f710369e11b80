#!/usr/bin/env bash
# The library, the command and the tests for a 64-bit ARM, without OpenCV and without an inference library, by a CMake toolchain file; the tests
# run under qemu. usage (in the work tree of the branch): phone.sh DIRECTORY. It needs
#   apt-get install --no-install-recommends cmake make g++-aarch64-linux-gnu qemu-user
# and takes the libraries of that architecture as Debian packages of this machine's own release; nothing is installed.
set -euo pipefail
mkdir -p "$1/apt/lists/partial" "$1/apt/cache/archives/partial" "$1/packages"
out=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
export SYSROOT=$out/sysroot
cat > "$out/apt/conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State::lists "$out/apt/lists";
Dir::State::status "$out/apt/status";
Dir::Cache "$out/apt/cache";
Debug::NoLocking "true";
END
: > "$out/apt/status"
export APT_CONFIG=$out/apt/conf
if [ ! -e "$SYSROOT/usr/include/zip.h" ]; then
    apt-get -q update
    (cd "$out/packages" && apt-get -q download libzip-dev libzip4 libbz2-1.0 libssl3 zlib1g zlib1g-dev libpugixml-dev libpugixml1v5 \
        libxlsxwriter-dev libxlsxwriter4 libminizip1 rapidjson-dev doctest-dev)
    for package in "$out"/packages/*.deb; do dpkg -x "$package" "$SYSROOT"; done
fi
cmake -S deploy/cpp_infer/recovery -B "$out/build" -DCMAKE_TOOLCHAIN_FILE="$here/aarch64.cmake" -DRECOVERY_TESTS=ON
cmake --build "$out/build" -j "${OMP_NUM_THREADS:-1}"
file -b "$out/build/ppocr_recover" 2> /dev/null || readelf -h "$out/build/ppocr_recover" | grep Machine
ctest --test-dir "$out/build" --output-on-failure --no-tests=error
