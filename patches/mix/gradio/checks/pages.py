"""A page of the change, started as a user starts it: gradio's own environment, the suite's for its worker."""

import json
import os
import re
import sys

from proving import browser
from proving.wheels import cache, environment

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.getcwd()
DIRECTORY = os.path.join(TREE, "applications", "gradio")
# files of the fixture `bad_files`, and what is said to each
BAD_FILES = {
    "text.png": "text.png is not an image: upload PNG",
    "forty.png": "forty.png has 40.0 megapixels, at most 36.0 are taken",
    "empty.png": r"empty.png is empty \(0 bytes\)",
}


class Server(browser.Server):
    """One page in gradio's own environment; its worker runs in the suite's.

    Args:
        program (list): the script and its arguments.
        log (str): where its output goes.
        models: where models are looked up.
        temporary (str): an empty directory for all temporary files of the page.
    """

    def __init__(self, program, log, models, temporary):
        python = environment(cache("mix-gradio"), os.path.join(HERE, "gradio-requirements.txt"))
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        variables.update(NLTK_DATA=os.path.join(str(models), "nltk_data"))
        variables.update(PYTHONPYCACHEPREFIX=os.path.join(cache("mix-gradio"), "pycache"))
        # colour_page.py, which is no part of the pages, imports them
        variables.update(PYTHONPATH=os.pathsep.join([DIRECTORY, os.environ.get("PYTHONPATH", "")]))
        words = [python, *program, "--worker-python", sys.executable, "--grace", "20"]
        super().__init__(words, log, str(models), temporary, variables)

    def crash_and_restart(self):
        """Ends the page in mid-run as a crash does: its worker ends with it, and the next page removes what it left."""
        assert len(self.runs()) == 1
        alive, left = self.crash(), self.folders()
        assert alive == [] and len(left) == 1
        self.start()
        assert len(self.folders()) == 1 and self.folders() != left
        assert self.runs() == []

    def folders(self):
        base = os.path.join(self.temporary, "paddlemix_gradio_%d" % os.getuid())
        return sorted(name for name in os.listdir(base) if os.path.isdir(os.path.join(base, name)))

    def files(self):
        """Everything in the temporary directory but the one lock that stands between servers."""
        return [path for path in super().files() if os.path.basename(path) != "making.lock"]

    def runs(self):
        """Directories of runs that have not been removed."""
        kinds = re.compile(r"(single|batch|upscaling|image2image|dual_guided|text2video)-")
        return sorted(name for _, folders, _ in os.walk(self.temporary) for name in folders if kinds.match(name))


def read_json(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)
