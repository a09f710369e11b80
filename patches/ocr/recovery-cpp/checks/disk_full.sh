#!/usr/bin/env bash
# A device that is really full: ppocr_recover on a tmpfs of 16 KiB. Needs root for the mount, in a mount namespace of its own.
# usage: disk_full.sh PPOCR_RECOVER STAGE_DIRECTORY
set -euo pipefail
exec unshare -m bash -c '
mount -t tmpfs -o size=16k none /mnt
before=$(ls -A /mnt | wc -l)
code=0
"$0" --input="$1" --output=/mnt/out --recovery=true || code=$?
echo "exit code $code, files left: $(find /mnt -type f | wc -l) (before: $before)"
[ "$code" -eq 1 ] && [ "$(find /mnt -type f | wc -l)" -eq 0 ]
' "$1" "$2"
