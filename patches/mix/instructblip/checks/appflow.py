"""tests/appflow/test_instructblip.py with PaddleMIX' own Appflow, on the fork base.

`import paddlemix.appflow` loads every application, and those of speech and diffusion import packages that the suite's environment does not
have (paddlespeech, ppdiffusers, nltk). Here those packages are empty stand-ins, so that the real Appflow class, the real table of
applications and the real InstructBLIP task run; no other application could. The check says which packages it replaced.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
import unittest

from alignment.record import arguments, write_metrics

MISSING = ("nltk", "paddlespeech", "ppdiffusers")


class Empty(types.ModuleType):
    """A module in which every name is a class."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Empty(spec.name)

    def exec_module(self, module):
        pass


def there(name):
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None  # a folder of this name in the work tree is no package


def main():
    args = arguments()
    import paddlemix  # noqa: F401  (all but the applications needs no stand-in)

    replaced = [name for name in MISSING if not there(name)]
    sys.meta_path.insert(0, Finder(replaced))
    print("stand-ins:", replaced)
    sys.path.insert(0, os.path.join(os.getcwd(), "tests", "appflow"))
    import test_instructblip

    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromModule(test_instructblip))
    for _, text in result.failures + result.errors:
        print(text)
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    write_metrics(args.out, {"run": result.testsRun, "bad": bad, "stand_ins": len(replaced)})


if __name__ == "__main__":
    main()
