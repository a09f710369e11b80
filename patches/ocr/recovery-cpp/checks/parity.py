"""C++ recovery against ppstructure/recovery on the same structure results, and against what must come out.

Every input goes through both. python-docx and openpyxl read the files; peak memory is that of the processes.
"""

import copy
import json
import os
import resource
import subprocess
import sys
import traceback
import zipfile

import openpyxl  # noqa: E402
from blocks import columns, everything, read, squeeze
from build import recover_command
from pages import HEIGHT, WIDTH, inputs, save

from proving.record import arguments, write_json, write_metrics

# a region that says it is a table and holds no cell
LOSING = ("no_cells",)


def python_recovery(name, pages, root):
    """What predict_system.py does with the results of an image; returns the path."""
    from ppstructure.recovery.recovery_to_doc import convert_info_docx, sorted_layout_boxes

    everything = []
    for index, regions in enumerate(pages):
        regions = [{**copy.deepcopy(region), "img_idx": index} for region in regions]
        if regions:
            everything += sorted_layout_boxes(regions, WIDTH)
    if not everything:
        return None
    convert_info_docx(None, everything, root, name)
    return os.path.join(root, name + "_ocr.docx")


def words_of(command, folder, out):
    """The command line for one directory of structure results."""
    return [
        command,
        "--input=" + folder,
        "--output=" + out,
        "--recovery=true",
        "--page_width=%d" % WIDTH,
        "--page_height=%d" % HEIGHT,
    ]


def run(command, folder, out):
    """Run the command; returns (exit status, its messages)."""
    done = subprocess.run(words_of(command, folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stderr


def peak_megabytes(words):
    """Peak memory of a command, started from a small process: a child begins with the peak of what forked it."""
    code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:],stdout=2,check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code, *words], stdout=subprocess.PIPE, check=True, text=True)
    return int(done.stdout) / 1024


def text_kept(pages, path):
    """All text of the regions stands in the document (body, header, footer); figures are pictures."""
    with zipfile.ZipFile(path) as package:
        pictures = sum(name.startswith("word/media/") for name in package.namelist())
    whole = squeeze(everything(path))
    regions = [region for page in pages for region in page]
    for region in regions:
        if region["type"] not in ("table", "figure"):
            for line in region["res"]:
                if squeeze(line["text"]) not in whole:
                    return False
    return pictures == sum(region["type"] == "figure" for region in regions)


def same_sheets(docx, xlsx):
    """The sheets hold the tables of the document: same texts at the same places, same merged cells."""
    tables = [block[1] for block in read(docx) if block[0] == "table"]
    if not tables:
        return not os.path.exists(xlsx)
    book = openpyxl.load_workbook(xlsx)
    if len(book.worksheets) != len(tables):
        return False
    for sheet, cells in zip(book.worksheets, tables):
        merged = {
            (m.min_row - 1, m.min_col - 1, m.max_row - m.min_row + 1, m.max_col - m.min_col + 1) for m in sheet.merged_cells.ranges
        }
        if merged != {cell[:4] for cell in cells if cell[2] > 1 or cell[3] > 1}:
            return False
        for r, c, _, _, words in cells:
            value = sheet.cell(r + 1, c + 1).value
            if isinstance(value, str) or value is None:
                if squeeze(value or "") != words:
                    return False
            elif abs(
                value - float(words.rstrip("%").replace(",", "")) / (100 if words.endswith("%") else 1)
            ) > 1e-9 and "-" not in str(value):
                return False  # squeeze() takes the sign of a number away
    return True


def converted(command, name, case, stage, ours, out):
    """(row of the report, peak memory in MB) of one input through the C++ command."""
    folder = save(stage, name, case["pages"])
    status, messages = run(command, folder, ours)
    peak = peak_megabytes(words_of(command, folder, ours)) if status == 0 else 0.0
    docx = os.path.join(ours, name + "_ocr.docx")
    # what is lost is said and is exit code 1; the rest is written all the same
    good = status == 1 and "[LOST]" in messages if name in LOSING else status == 0
    row = {"cpp": good and os.path.exists(docx), "messages": messages.replace(out, ""), "parity": case["parity"]}
    if row["cpp"]:
        row["kept"] = text_kept(case["pages"], docx)
        row["sheets"] = same_sheets(docx, os.path.join(ours, name + "_ocr.xlsx"))
        row["columns"] = columns(docx)
    return row, peak


def beside_python(row, name, pages, stage, ours, theirs):
    """What the suite's Python does with the same input; whether the documents are equal goes into the row."""
    folder, docx = os.path.join(stage, name), os.path.join(ours, name + "_ocr.docx")
    os.makedirs(os.path.join(theirs, name))
    for picture in os.listdir(folder):  # its crops stand in save_folder/name
        if picture.endswith(".jpg"):
            os.link(os.path.join(folder, picture), os.path.join(theirs, name, picture))
    try:
        path = python_recovery(name, pages, theirs)
        if row["cpp"]:
            row["equal"] = (read(path) if path else []) == read(docx)
        return "written" if path else "nothing written"
    except Exception as problem:
        traceback.print_exc()
        return "%s: %s" % (type(problem).__name__, problem)


def main():
    args = arguments()
    command = recover_command()
    stage, ours, theirs = (os.path.join(args.out, name) for name in ("stage", "cpp", "python"))
    os.makedirs(theirs)
    report, peak = {}, 0.0
    for name, case in inputs().items():
        row, used = converted(command, name, case, stage, ours, args.out)
        report[name], peak = row, max(peak, used)
        row["python"] = beside_python(row, name, case["pages"], stage, ours, theirs) if case["python"] else "not run"
        print(name, json.dumps(row, ensure_ascii=False), flush=True)
    write_json(os.path.join(args.out, "parity.json"), report)
    compared = [row for row in report.values() if row["parity"]]
    write_metrics(
        args.out,
        metrics={
            "inputs": len(report),
            "written": sum(row["cpp"] for row in report.values()),
            "text_and_pictures_kept": sum(bool(row.get("kept")) for row in report.values()),
            "sheets_equal_tables": sum(bool(row.get("sheets")) for row in report.values()),
            "compared_with_python": len(compared),
            "differing_from_python": sum(not row.get("equal") for row in compared),
            "python_failures": sum(row["python"] not in ("written", "nothing written", "not run") for row in report.values()),
            "cpp_peak_mb": round(peak, 1),
            "python_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        },
    )


if __name__ == "__main__":
    main()
