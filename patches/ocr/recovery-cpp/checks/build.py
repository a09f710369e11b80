"""Build the command of the branch once for all check scripts: `recover_command() -> path`."""

import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess

from proving.wheels import cache

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


def forget(folder):
    """Remove the builds in `folder` whose sources are gone: every work tree has a place of its own."""
    for cache_file in glob.glob(os.path.join(folder, "build-*", "CMakeCache.txt")) + glob.glob(
        os.path.join(folder, "ppocr-*", "build", "CMakeCache.txt")
    ):
        with open(cache_file) as stream:
            home = re.search(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$", stream.read(), re.MULTILINE)
        if home and not os.path.isdir(home.group(1)):
            kept = os.path.relpath(cache_file, folder).split(os.sep)[0]
            shutil.rmtree(os.path.join(folder, kept), ignore_errors=True)


def recover_command():
    """Path of `ppocr_recover` (Release) for the sources of the work tree; raises CalledProcessError with CMake's own words."""
    folder = cache("ocr-recovery-cpp")
    forget(folder)
    target = os.path.join(folder, "build-" + digest(SOURCE))
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["cmake", "-S", os.path.abspath(SOURCE), "-B", target, "-DRECOVERY_TESTS=OFF", "-DCMAKE_BUILD_TYPE=Release"]
        subprocess.run(words, check=True)
        jobs = os.environ.get("OMP_NUM_THREADS", "1")
        subprocess.run(["cmake", "--build", target, "-j", jobs], check=True)
    return os.path.join(target, "ppocr_recover")
