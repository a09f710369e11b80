"""The package of the branch with the core that was built from it, as an installation has them together.

PADDLE2ONNX_CORE names the built module (paddle2onnx_cpp2py_export*.so). Where it is not set a check ends as an error that says so: the
core needs the submodules of Paddle2ONNX, which neither the release nor a shallow fork holds.
"""

import importlib.machinery
import os

from proving.tree import on_path


def assemble(out):
    """Make OUT/package/paddle2onnx of links to the work tree's package and the core, first on the path of imports; the folder's path."""
    core = os.path.abspath(os.environ.get("PADDLE2ONNX_CORE", ""))
    if not os.path.isfile(core):
        raise SystemExit(
            "error: PADDLE2ONNX_CORE does not name a built core\n"
            "  want  the module that `python setup.py build_ext` makes from this branch, with its submodules (third_party/)\n"
            "  next  PADDLE2ONNX_CORE=/path/to/paddle2onnx_cpp2py_export.so make check-onnx-fp16 ARGS='--base fork --no-cache'"
        )
    folder = os.path.join(out, "package")
    inside = os.path.join(folder, "paddle2onnx")
    os.makedirs(inside)
    source = os.path.join(os.getcwd(), "paddle2onnx")
    for name in sorted(os.listdir(source)):
        if name != "version.py" and not name.startswith("paddle2onnx_cpp2py_export"):
            os.symlink(os.path.join(source, name), os.path.join(inside, name))
    os.symlink(core, os.path.join(inside, "paddle2onnx_cpp2py_export" + importlib.machinery.EXTENSION_SUFFIXES[0]))
    with open(os.path.join(inside, "version.py"), "w") as file:
        file.write('version = "source"\n')
    on_path("tests")
    return on_path(folder)
