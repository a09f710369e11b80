"""The wheel of a suite without a change of ours yet: the release, repacked."""

import importlib.metadata
import importlib.util

assert importlib.metadata.version("paddledet").endswith("+forklift")
assert importlib.util.find_spec("ppdet") is not None
print("det: paddledet", importlib.metadata.version("paddledet"))
