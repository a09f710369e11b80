"""Whether this machine has a CUDA device."""

from __future__ import annotations

import shutil
from functools import cache

from forklift.system import shell


@cache
def present() -> bool:
    """True where nvidia-smi lists at least one device."""
    program = shutil.which("nvidia-smi")
    return program is not None and "GPU" in shell.run([program, "-L"], check=False).stdout
