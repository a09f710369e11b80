"""Every operator of tests/fp16_scan.py in an FP16 program of its own: converted, checked, run, compared."""

import argparse
import json
import os
import sys

from alignment.record import arguments, write_metrics

sys.path.insert(0, os.path.join(os.getcwd(), "tests"))
import fp16_scan  # noqa: E402


def markdown(rows):
    """One line an operator: converted, checked, run, error and control, Casts in the graph and those that were inserted."""
    lines = ["| Operator | Opset | Result | Max | Control | Casts | Inserted |", "|-|-|-|-|-|-|-|"]
    for row in rows:
        numbers = ["%.1e" % row[key] if key in row else "-" for key in ("max", "control")]
        counts = [str(row.get(key, "-")) for key in ("casts", "inserted")]
        result = row["result"].replace("|", "/")
        if row.get("full_check") is False:
            result += " (full check fails, in float32 as well)"
        lines.append("| %s |" % " | ".join([row["operator"], str(row["opset"]), result] + numbers + counts))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--opset", type=int, action="append")
    parser.add_argument("--part", type=int, default=1, help="every n-th operator only")
    args = arguments(parser=parser)
    names = sorted(fp16_scan.CASES)[:: args.part]
    rows = fp16_scan.table(args.opset or [13], names)
    kinds = {"ok": 0, "not saved": 0, "not converted": 0, "invalid": 0, "differs": 0, "no reference": 0, "wrong shape": 0}
    words = {"Paddle": "not saved", "not": "not converted", "ONNX": "invalid", "no": "no reference", "wrong": "wrong shape"}
    for row in rows:
        kind = row["result"] if row["result"] in kinds else words[row["result"].split()[0]]
        kinds[kind] += 1
    with open(os.path.join(args.out, "scan.json"), "w") as file:
        json.dump(rows, file, indent=1)
    with open(os.path.join(args.out, "scan.md"), "w") as file:
        file.write(markdown(rows))
    write_metrics(args.out, metrics={key.replace(" ", "_"): value for key, value in kinds.items()})
    print(kinds)


if __name__ == "__main__":
    main()
