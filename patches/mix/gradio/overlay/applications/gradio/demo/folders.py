# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""One folder for all that a server writes, gone when the server is gone.

A server that ends cleanly removes its folder; one that was killed cannot, so the next one does: the folder of a living server is locked,
and the lock of a killed one is free.
"""

import atexit
import contextlib
import os
import shutil
import stat
import tempfile

from filelock import FileLock, Timeout

_BASE = "paddlemix_gradio"


class ServerFolder:
    """Makes a folder below the temporary directory, after removing what killed servers left there.

    All temporary files of this process and of its children go there: TMPDIR and GRADIO_TEMP_DIR are set.

    Args:
        base (str): where the folders of all servers of this user stand.
    """

    def __init__(self, base=None):
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
        self.base = base or os.path.join(tempfile.gettempdir(), "%s_%s" % (_BASE, user))
        os.makedirs(self.base, mode=0o700, exist_ok=True)
        if (
            hasattr(os, "getuid")
            and os.lstat(self.base).st_uid != os.getuid()
            or not stat.S_ISDIR(os.lstat(self.base).st_mode)
        ):
            raise SystemExit("error: %s is not a directory of this user; remove it or set TMPDIR" % self.base)
        # making and removing are never under way at the same time, so that no new folder is taken for an old one
        with FileLock(os.path.join(self.base, "making.lock")):
            self.removed = self._remove_abandoned()
            self.path = tempfile.mkdtemp(dir=self.base, prefix="server-")
            self._lock = FileLock(self.path + ".lock")
            self._lock.acquire(timeout=0)
        self.temporary = os.path.join(self.path, "tmp")
        os.makedirs(self.temporary)
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(self.path, "uploads")
        os.environ["TMPDIR"] = tempfile.tempdir = self.temporary
        atexit.register(self.close)

    def new(self, prefix):
        """An empty directory for one run."""
        return tempfile.mkdtemp(dir=self.temporary, prefix=prefix + "-")

    def close(self):
        """Removes the folder; calling it twice is fine."""
        _remove(self.path, self._lock)

    def _remove_abandoned(self):
        removed = []
        for name in sorted(os.listdir(self.base)):
            path = os.path.join(self.base, name)
            if not name.startswith("server-") or not os.path.isdir(path):
                continue
            lock = FileLock(path + ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _remove(path, lock)
            removed.append(path)
        return removed


def _remove(path, lock):
    """A folder, then its lock, which nobody else wants any more."""
    shutil.rmtree(path, ignore_errors=True)
    lock.release()
    with contextlib.suppress(FileNotFoundError):
        os.remove(path + ".lock")
