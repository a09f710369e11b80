"""Peak memory of ppstructure/recovery on one input of pages.py, without Paddle: its logger, which imports it, is replaced.

python checks/memory.py DIR NAME     # prints megabytes; DIR is the `stage` of checks/parity.py --out
"""

import json
import logging
import os
import resource
import sys
import tempfile
import types

module = types.ModuleType("ppocr.utils.logging")
module.get_logger = logging.getLogger
for name, made in (
    ("ppocr", types.ModuleType("ppocr")),
    ("ppocr.utils", types.ModuleType("ppocr.utils")),
    ("ppocr.utils.logging", module),
):
    sys.modules[name] = made

from ppstructure.recovery.recovery_to_doc import convert_info_docx, sorted_layout_boxes  # noqa: E402

folder = os.path.join(sys.argv[1], sys.argv[2])
with open(os.path.join(folder, "res_0.txt"), encoding="utf8") as stream:
    regions = sorted_layout_boxes([json.loads(line) for line in stream], 1654)
with tempfile.TemporaryDirectory() as out:
    convert_info_docx(None, regions, out, sys.argv[2])
assert "paddle" not in sys.modules
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
