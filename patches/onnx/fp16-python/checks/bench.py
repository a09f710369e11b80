"""The script of onnx-fp16 of the same name, on the package with the released core (package.py)."""

import os
import runpy

HERE = os.path.dirname(os.path.abspath(__file__))
runpy.run_path(os.path.join(HERE, "..", "..", "fp16", "checks", "bench.py"), run_name="__main__")
