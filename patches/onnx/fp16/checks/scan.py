"""Every operator of tests/fp16_scan.py in an FP16 program of its own: converted, checked, run, compared.

An operator with several float inputs has two more rows, in which they are of both types. The metrics count results; `worse` are the rows
that are not ok although the same program in float32 is, `not_full` those that the full check refuses although it takes the one in float32,
`unlisted` the mappers of the work tree that no program of the scan holds.
"""

import argparse
import json
import os
import re

from package import assemble

from proving.record import arguments, write_metrics

RESULTS = [
    "ok",
    "differs",
    "differs node by node",
    "wrong shape",
    "wrong type",
    "not finite",
    "not valid",
    "does not run",
    "not converted",
    "not saved",
]


def markdown(rows, opsets):
    """One line an operator; a column of several opsets is a list where they differ. What is not ok is explained below."""
    lines = [
        "| Operator | Opset | Result | In float32 | Full check | Max | Node by node | Control | Casts |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    details = []
    for name in sorted(set(row["operator"] for row in rows)):
        own = [row for row in rows if row["operator"] == name]
        cells = [name + (" (halved)" if own[0].get("halved") else "")]
        for key in ("opset", "result", "float32"):
            cells.append(by_opset(own, lambda row: str(row.get(key, "-")), key == "opset"))  # noqa: B023
        cells.append(by_opset(own, lambda row: {True: "yes", False: "no"}.get(row.get("full_check"), "-")))
        for key in ("max", "nodes", "control"):
            values = [row[key] for row in own if row.get(key) is not None]
            cells.append("%.1e" % max(values) if values else "-")
        cells.append(by_opset(own, lambda row: str(row.get("casts", "-"))))
        lines.append("| %s |" % " | ".join(cells))
        details += ["- %s: %s" % (name, row["detail"]) for row in own[:1] if "detail" in row]
    if len(opsets) > 1:
        lines.insert(
            0,
            "Opsets %s; `11-12: ok` is a result of these, `+13` raises to 13. Max is the largest.\n" % ", ".join(map(str, opsets)),
        )
    return "\n".join(lines + ["", "What is not ok, at the lowest opset:", ""] * bool(details) + details) + "\n"


def by_opset(rows, text, opset=False):
    if opset:
        raised = sorted(set(row["opset"] for row in rows if row.get("opset", 0) > row.get("asked", 99)))
        return " ".join("+%d" % value for value in raised) or "as asked"
    values = [text(row) for row in rows]
    if len(set(values)) == 1:
        return values[0]
    parts, start = [], 0
    for at in range(1, len(rows) + 1):
        if at == len(rows) or values[at] != values[start]:
            first, last = rows[start]["asked"], rows[at - 1]["asked"]
            parts.append("%s: %s" % (first if first == last else "%d-%d" % (first, last), values[start]))
            start = at
    return "; ".join(parts)


def unlisted(rows, without):
    """Mappers that the sources register and no program of the scan holds."""
    found = set()
    for folder, _, files in os.walk(os.path.join("paddle2onnx", "mapper")):
        for name in files:
            if name.endswith(".cc"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found.update(re.findall(r"^\s*REGISTER_MAPPER\((\w+)", file.read(), re.M))
    if not found:
        raise SystemExit("no mapper found below paddle2onnx/mapper")
    return sorted(found - set(name for row in rows for name in row.get("holds", ())) - set(without))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--opsets", default="13")
    args = arguments(parser=parser)
    assemble(args.out)
    import fp16_scan

    opsets = [int(value) for value in args.opsets.split(",")]
    rows = fp16_scan.table(opsets, sorted(fp16_scan.CASES))
    metrics = {key.replace(" ", "_"): sum(row["result"] == key for row in rows) for key in RESULTS}
    metrics["worse"] = sum(row["result"] != "ok" and row.get("float32") == "ok" for row in rows)
    metrics["not_full"] = sum(not row["full_check"] and row["float32_full"] for row in rows if "full_check" in row)
    missing = unlisted(rows, fp16_scan.WITHOUT_FP16)
    metrics["unlisted"] = len(missing)
    assert sum(metrics[key.replace(" ", "_")] for key in RESULTS) == len(rows)
    with open(os.path.join(args.out, "scan.json"), "w") as file:
        json.dump(rows, file, indent=0)
    with open(os.path.join(args.out, "scan.md"), "w") as file:
        file.write(markdown(rows, opsets))
    write_metrics(args.out, metrics=metrics)
    print(metrics, missing)
    for row in rows:
        if row["result"] != "ok" and row.get("float32") == "ok":
            print(row)


if __name__ == "__main__":
    main()
