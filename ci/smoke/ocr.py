"""PaddleOCR's wheel: the release as it is; layout recovery in C++ is no part of the package."""

import importlib.metadata

import paddleocr

assert importlib.metadata.version("paddleocr").endswith("+forklift")
print("ocr: imports", paddleocr.__name__, importlib.metadata.version("paddleocr"))
