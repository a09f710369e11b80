"""The list of models that a sweep makes."""

import msgspec
import pytest
from toyproject import put, table

from forklift.errors import UsageError
from forklift.running.losses import Failure, Run, StaticProof
from forklift.sweep import listing as sweep_list
from forklift.sweep.result import Gap, Gradient, ModeResult, RowResult
from forklift.sweep.rows import ModelRow
from forklift.sweep.verdict import summarise


def run(mode, gap=0.0, ratio=1.0, **proof):
    static = StaticProof(**{"programs": 1, "operators": 3, "executions": 10, **proof})
    losses = [(1 + (gap if step > 6 else 0)) / (step + 1) for step in range(10)]
    return Run(mode, losses, static, cpu_ms_per_step=[ratio] * 10)


def row(name, **keys):
    return ModelRow(name, keys.get("pending", ""), tuple(keys.get("edits", ())), {"id": name, "class": "Net", **keys})


def measured(float32=None, **runs):
    summary = msgspec.structs.asdict(summarise({"dygraph": run("dygraph"), **runs}, 10))
    facts = {"id": "", "base": "fork", "paddle": "2.6", "steps": 10, "dtype": "float32", "date": "2026-01-01", "key": "0"}
    return RowResult(**summary, **facts, float32=float32 or {})


ROWS = [row("same", edits=["net.py"]), row("breaks"), row("never"), row("odd"), row("left", pending="needs a GPU")]
RESULTS = {
    "same": measured(ast=run("ast", ratio=0.5), sot=run("sot", ratio=0.75)),
    "breaks": measured(ast=run("ast", 1e-4, ratio=0.7), sot=run("sot", graph_breaks=2)),
    "never": measured(ast=Failure("TypeError: no | such", ["net.py:3 forward"])),
    "odd": measured({"ast": Gap(4, 0.5)}, ast=run("ast")),
}


def cells(language, name):
    lines = sweep_list.table(ROWS, RESULTS, {"net.py": 7}, language)
    line = next(line for line in lines if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_row_says_what_was_measured():
    assert cells("en", "same") == ["same", "Net", "equal", "equal", "0.50 / 0.75", "7", "█▄▃▂▂▂▁▁▁▁", ""]
    assert cells("en", "breaks")[2:5] == ["close, float32 alone (1e-04, from step 8)", "equal, 2 breaks", "0.70 / 1.00"]
    assert cells("en", "never")[2:4] == ["no", "not measured"]
    assert cells("en", "never")[-1] == "ast: TypeError: no / such (net.py:3 forward)"
    assert cells("en", "odd")[-1] == "float32 from step 4 (5e-01)"
    assert cells("en", "left") == ["left", "Net", "not measured", "not measured", "", "", "", "needs a GPU"]
    assert cells("zh", "breaks")[2] == "接近，仅 float32（1e-04，自第 8 步起）"


@pytest.mark.parametrize(
    ("outcome", "judge", "departs", "text"),
    [
        ("equal", "float64", 0, "equal (float64)"),
        ("close", "gradient", 6, "close (gradient 2e-15, losses in float64 from step 6)"),
        ("failed", "gradient", 0, "apart (gradient 2e-15)"),
        ("failed", "none", 6, "apart (1e-02, from step 6)"),
    ],
)
def test_the_list_says_what_decided(outcome, judge, departs, text):
    gradient = Gradient(gradient_gap=2e-15)
    facts = ModeResult(outcome=outcome, dtype="float64", judge=judge, departs_at=departs, max_gap=1e-2, gradient=gradient)
    assert sweep_list._verdict(facts, sweep_list._WORDS["en"]) == text


def test_totals_count_rows_that_were_not_measured_as_not_trained():
    assert sweep_list.table(ROWS, RESULTS, {"net.py": 7}, "en")[0] == (
        "4 of 5 rows measured; 3 (60%) train in at least one static mode, 3 (60%) as a whole graph, 2 (40%) under SOT. "
        "Median step time, static against dygraph (CPU time): whole graph 0.70, SOT 0.88."
    )


@pytest.mark.parametrize(
    ("losses", "bars"), [([], ""), ([1.0] * 50, "▁" * 10), ([float(50 - i) for i in range(50)], "█▇▆▆▅▄▃▃▂▁"), ([None] * 50, "")]
)
def test_a_curve(losses, bars):
    assert sweep_list.sparkline(losses) == bars


def test_a_loss_that_was_not_finite_is_a_gap():
    assert sweep_list.sparkline([3.0, None, 1.0]) == "█ ▁"


def test_the_list_is_written_between_the_marks(toy):
    directory = toy.change(scripts={"row.py": ""})
    put(directory / "models.toml", table("row", {"id": "same"}))
    put(directory / "evidence" / "rows.jsonl", msgspec.json.encode(msgspec.structs.replace(RESULTS["same"], id="same")).decode())
    document = directory / "overlay" / "docs" / "list_cn.md"
    put(document, f"before\n{sweep_list.BEGIN}\nold\n{sweep_list.END}\nafter\n")
    with (directory / "change.toml").open("a") as stream:
        stream.write('[sweep]\nscript = "checks/row.py"\ndocuments = ["overlay/docs/list_cn.md"]\n')
    assert toy.cli("sweep", "toy-linear", "--list").status == 0
    text = document.read_text()
    assert (
        text.startswith(f"before\n{sweep_list.BEGIN}\n共 1 行")
        and text.endswith(f"{sweep_list.END}\nafter\n")
        and "old" not in text
    )
    assert "| same |" in (toy.root / "docs" / "to_static" / "toy.md").read_text()
    put(document, "no marks\n")
    with pytest.raises(UsageError, match="no place for the list"):
        sweep_list.between(document, "text")
