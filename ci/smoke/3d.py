"""The wheel of a suite without a change of ours yet: the release, repacked."""

import importlib.metadata
import importlib.util

assert importlib.metadata.version("paddle3d").endswith("+forklift")
assert importlib.util.find_spec("paddle3d") is not None
print("3d: paddle3d", importlib.metadata.version("paddle3d"))
