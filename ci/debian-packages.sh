#!/usr/bin/env bash
# The Debian packages that checks need (libraries for native ones, a browser for pages, the sandbox): the one list of them. `make checks` and the
# targets of a change that needs some call it; with everything there it ends at once. No package is ever skipped: without root it says what to type.
set -euo pipefail
packages=(cmake g++ make)
packages+=(libzip-dev libpugixml-dev libxlsxwriter-dev rapidjson-dev doctest-dev)      # ocr-recovery-cpp
packages+=(bubblewrap)                                                                 # --sandbox
packages+=(chromium libgl1)                                                            # mix-gradio: a browser, and Qt for labelme

if ! command -v dpkg-query > /dev/null; then
    echo "note: no Debian or Ubuntu here; native checks need the equivalents of: ${packages[*]}" >&2
    exit 0
fi
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2> /dev/null; then
        as_root=(sudo -n)
    else
        printf 'error: Debian packages are missing\n  want  %s\n  next  sudo ci/debian-packages.sh\n' "${missing[*]}" >&2
        exit 1
    fi
fi
echo "installing Debian packages (once): ${missing[*]}"
log=$(mktemp)
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" > "$log" 2>&1; }
install || { "${as_root[@]}" apt-get update -q >> "$log" 2>&1 && install; } || { tail -5 "$log" >&2; printf 'error: the packages could not be installed\n  want  %s\n  next  read %s\n' "${missing[*]}" "$log" >&2; exit 1; }
rm -f "$log"
