"""The package of the work tree with the core that is there: the release's own, or one that PADDLE2ONNX_CORE names (tests/conftest.py)."""

from proving.tree import on_path


def assemble(out):
    """Let `import paddle2onnx` find the work tree's package and a core; OUT is not used."""
    on_path("tests")
    import conftest  # noqa: F401 - it loads the core
