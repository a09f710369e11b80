"""What stands between cpp_infer and the recovery library, without a model: hook.cpp with the sources of the work tree, with sanitizers.

Then the pictures of the document that it wrote: the photograph is a JPEG, the drawing a PNG.
"""

import os
import re
import subprocess
import zipfile

from build import recover_command

from proving.record import arguments, write_metrics

CHECKS = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.abspath(os.path.join("deploy", "cpp_infer"))
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]


def program(out):
    """The compiled hook.cpp."""
    library = os.path.join(os.path.dirname(recover_command()), "libppocr_recovery.a")
    sources = [os.path.join(CHECKS, "hook.cpp")] + [
        os.path.join(SOURCE, "src", name + ".cpp") for name in ("structure_recovery", "utility", "args")
    ]
    words = ["c++", "-std=c++11", "-w", "-DWITH_RECOVERY", *SANITIZE, "-I" + SOURCE, "-I" + os.path.join(SOURCE, "recovery")]
    words += ["-isystem", "/usr/include/opencv4", *sources, library]
    words += [
        "-l" + name for name in ("opencv_imgcodecs", "opencv_imgproc", "opencv_core", "gflags", "xlsxwriter", "zip", "pugixml")
    ]
    made = os.path.join(out, "hook")
    subprocess.run([*words, "-o", made], check=True)
    return made


def main():
    args = arguments()
    done = subprocess.run([program(args.out), args.out], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    print(done.stdout, done.stderr)
    count = re.search(r"(\d+) looked at, (\d+) wrong", done.stdout)
    with zipfile.ZipFile(os.path.join(args.out, "photo_ocr.docx")) as package:
        pictures = {name: package.read(name) for name in package.namelist() if name.startswith("word/media/")}
    kinds = [os.path.splitext(name)[1] for name in sorted(pictures)]
    beginnings = [content[:3] for _, content in sorted(pictures.items())]
    write_metrics(
        args.out,
        metrics={
            "looked_at": int(count.group(1)) if count else 0,
            "wrong": int(count.group(2)) if count else 1,
            "photograph_jpeg": int(kinds[:1] == [".jpeg"] and beginnings[0] == b"\xff\xd8\xff"),
            "drawing_png": int(kinds[1:] == [".png"] and beginnings[1] == b"\x89PN"),
            "exit_code": done.returncode,
        },
    )


if __name__ == "__main__":
    main()
