"""Build the command of the branch once for all check scripts: `recover_command() -> path`."""

import fcntl
import hashlib
import os
import subprocess

from alignment.wheels import cache

SOURCE = os.path.join("deploy", "cpp_infer", "recovery")


def digest(folder):
    """Path and content of `folder`: CMake ties a build directory to the place of its sources."""
    digest = hashlib.sha256(os.path.abspath(folder).encode())
    for path, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            with open(os.path.join(path, name), "rb") as stream:
                digest.update(name.encode() + b"\0" + stream.read())
    return digest.hexdigest()[:16]


def recover_command():
    """Path of `ppocr_recover` (Release) for the sources of the work tree; raises CalledProcessError with CMake's own words."""
    target = os.path.join(cache("ocr-recovery-cpp"), "build-" + digest(SOURCE))
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["cmake", "-S", os.path.abspath(SOURCE), "-B", target, "-DRECOVERY_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release"]
        subprocess.run(words, check=True)
        jobs = os.environ.get("OMP_NUM_THREADS", "1")
        subprocess.run(["cmake", "--build", target, "-j", jobs], check=True)
    return os.path.join(target, "ppocr_recover")
