"""The list of models that a sweep makes: one line a row with a small curve, and totals; in English and Chinese."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from forklift.errors import UsageError
from forklift.model import Change
from forklift.running.plots import sparkline
from forklift.sweep import result as evidence
from forklift.sweep import rows as models
from forklift.sweep.result import ModeResult, RowResult
from forklift.sweep.rows import ModelRow
from forklift.system.files import write_whole

BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
GOOD = ("equal", "close")
_WORDS = {
    "en": {
        "head": ["model", "class", "whole graph", "SOT", "step time", "lines", "loss, 50 steps", "note"],
        "equal": "equal",
        "close": "close",
        "apart": "apart",
        "gap": "{word} ({gap:.0e}, from step {step})",
        "alone": "close, float32 alone",
        "gradient": "{word} (gradient {gap:.0e}{rest})",
        "rest": ", losses in {dtype} from step {step}",
        "no": "no",
        "break": ", {count} break",
        "breaks": ", {count} breaks",
        "missing": "not measured",
        "single": "float32 from step {step} ({gap:.0e})",
        "totals": "{measured} of {rows} rows measured; {any} ({any_share}) train in at least one static mode, "
        "{ast} ({ast_share}) as a whole graph, {sot} ({sot_share}) under SOT. "
        "Median step time, static against dygraph (CPU time): whole graph {ast_ratio}, SOT {sot_ratio}.",
        "legend": "*equal*: the largest relative difference of the loss is at most 1e-5 over all 50 steps, in float32, or in "
        "float64 where it says so. A mode that is not equal in float32 has a control in float64: the gradients of its first step, "
        "and its 50 steps where *(float64)* or *losses in float64* stands. *close*: the losses part from the step that is named, "
        "in the type that is named, but the gradient in float64 is that of dygraph (relative gap at most 1e-6): rounding "
        "grows too fast. *close, float32 alone*: at most 1e-3 in float32, and no control. *apart*: anything else, or another "
        "gradient. *step time*: whole graph / SOT against dygraph. *lines*: lines of the suite's code changed for this model "
        "alone. *breaks*: places where SOT leaves the graph.",
    },
    "zh": {
        "head": ["模型", "类", "整图（AST）", "SOT", "单步耗时", "改动行数", "50 步损失", "说明"],
        "equal": "一致",
        "close": "接近",
        "apart": "偏离",
        "gap": "{word}（{gap:.0e}，自第 {step} 步起）",
        "alone": "接近，仅 float32",
        "gradient": "{word}（梯度 {gap:.0e}{rest}）",
        "rest": "，{dtype} 损失自第 {step} 步起",
        "no": "不支持",
        "break": "，{count} 处断图",
        "breaks": "，{count} 处断图",
        "missing": "未测",
        "single": "float32 自第 {step} 步起（{gap:.0e}）",
        "totals": "共 {rows} 行，已测 {measured} 行；"
        "{any} 行（{any_share}）至少可在一种静态模式下训练，"
        "整图 {ast} 行（{ast_share}），SOT {sot} 行（{sot_share}）。"
        "静态与动态单步耗时之比的中位数（CPU 时间）：整图 {ast_ratio}，SOT {sot_ratio}。",
        "legend": "*一致*：50 步内损失的最大相对误差不超过 1e-5（float32，或注明的 float64）。"
        "float32 下不一致的模式均有 float64 对照：比较第一步的梯度；注明 *(float64)* 或 *float64 损失* 的，50 步也以 float64 运行。"
        "*接近*：损失自所注步数起（以所注类型）不一致，但 float64 梯度与动态图相同（相对误差不超过 1e-6），即舍入误差增长过快。"
        "*接近，仅 float32*：float32 下不超过 1e-3，没有对照。*偏离*：其余情形，或梯度不同。"
        "*单步耗时*：整图 / SOT 相对动态图。"
        "*改动行数*：仅为该模型改动的套件代码行数。"
        "*断图*：SOT 离开静态图的位置数。",
    },
}


def write(change: Change, root: Path) -> list[Path]:
    """docs/to_static/<suite>.md, and the part between the marks of the change's own documents."""
    spec = change.file.sweep
    if spec is None:
        raise UsageError(f"{change.id} has no [sweep]", [("file", change.directory / "change.toml")], "./forklift list")
    rows = models.read(change.directory / spec.rows)
    results = evidence.read(change.directory / "evidence" / "rows.jsonl")
    edits = {path: changed_lines(change.edits / f"{path}.patch") for row in rows for path in row.edits}
    written = []
    for path in spec.documents:
        target = change.directory / path
        language = "zh" if "_cn" in target.stem or "zh_CN" in target.parts else "en"
        write_whole(target, between(target, "\n".join(table(rows, results, edits, language))).encode())
        written.append(target)
    target = root / "docs" / "to_static" / f"{change.suite.short}.md"
    title = f"# {change.suite.name}: training with dynamic-to-static"
    source = (
        f"Rows: `patches/{change.suite.short}/to-static/models.toml`; figures: `evidence/rows.jsonl` there; "
        f"`./forklift sweep {change.id}` measures, `./forklift sweep {change.id} --list` writes this file."
    )
    write_whole(target, "\n".join([title, "", source, "", *table(rows, results, edits, "en"), ""]).encode())
    return [*written, target]


def changed_lines(patch: Path) -> int:
    """Lines that a patch adds or takes away."""
    lines = patch.read_text().splitlines()
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in lines if line)


def between(target: Path, text: str) -> str:
    """The document with `text` between its marks."""
    before, mark, rest = target.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise UsageError("a document has no place for the list", [("file", target)], f"add {BEGIN} and {END} to it")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def table(rows: list[ModelRow], results: dict[str, RowResult], edits: dict[str, int], language: str) -> list[str]:
    """Totals, legend and the table, as lines of markdown."""
    words = _WORDS[language]
    lines = [str(words["totals"]).format(**totals(rows, results)), "", str(words["legend"]), ""]
    lines += ["| " + " | ".join(words["head"]) + " |", "|---" * len(words["head"]) + "|"]
    for row in rows:
        result = results.get(row.id)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in _cells(row, result, edits, words)) + " |")
    return lines


def totals(rows: list[ModelRow], results: dict[str, RowResult]) -> dict[str, Any]:
    """How many rows are measured and train, and the median ratio of step times."""
    found = [results[row.id] for row in rows if row.id in results]
    good: Counter[str] = Counter()
    ratios: dict[str, list[float]] = {"ast": [], "sot": []}
    for result in found:
        good["any"] += result.outcome in GOOD
        for mode, facts in result.modes.items():
            if facts.outcome in GOOD:
                good[mode] += 1
                if facts.speed_ratio:
                    ratios[mode].append(facts.speed_ratio)
    shares = {f"{name}_share": f"{good[name] / max(1, len(rows)):.0%}" for name in ("any", "ast", "sot")}
    medians = {f"{mode}_ratio": f"{statistics.median(values):.2f}" if values else "-" for mode, values in ratios.items()}
    measured = sum(any(result.losses.values()) for result in found)
    return {"rows": len(rows), "measured": measured, **{name: good[name] for name in ("any", "ast", "sot")}, **shares, **medians}


def _cells(row: ModelRow, result: RowResult | None, edits: dict[str, int], words: dict[str, Any]) -> list[str]:
    name = [row.id, str(row.keys.get("class", ""))]
    lines = str(sum(edits[path] for path in row.edits) or "")
    why = str(row.keys.get("why", "") or row.skip)
    if result is None:
        return [*name, words["missing"], words["missing"], "", lines, "", why]
    modes = result.modes
    none = words["no"] if result.problem else words["missing"]
    verdicts = [_verdict(modes[mode], words) if mode in modes else none for mode in ("ast", "sot")]
    ratios = [_ratio(modes.get(mode)) for mode in ("ast", "sot")]
    static: list[float | None] = next((result.losses[mode] for mode in ("ast", "sot") if result.losses.get(mode)), [])
    notes = [why] if why else [_reason(mode, facts) for mode, facts in modes.items() if facts.outcome == "failed"]
    notes += [result.problem] if result.problem and not why else []
    single = [gap for mode, gap in result.float32.items() if gap.departs_at and modes[mode].dtype != "float32"]
    if single:
        notes.append(words["single"].format(step=single[0].departs_at, gap=single[0].max_gap or math.inf))
    return [*name, *verdicts, " / ".join(ratios), lines, sparkline(static), "; ".join(filter(None, notes))]


def _verdict(facts: ModeResult, words: dict[str, Any]) -> str:
    count = facts.graph_breaks
    breaks = words["break" if count == 1 else "breaks"].format(count=count) if count else ""
    if facts.outcome == "equal":
        return f"{words['equal']}{' (float64)' if facts.dtype == 'float64' else ''}{breaks}"
    word, step = words["close" if facts.outcome == "close" else "apart"], facts.departs_at
    if facts.judge == "gradient" and facts.gradient:
        rest = words["rest"].format(step=step, dtype=facts.dtype) if step else ""
        return f"{words['gradient'].format(word=word, gap=facts.gradient.gradient_gap, rest=rest)}{breaks}"
    if step:
        word = words["alone"] if facts.outcome == "close" else word
        gap = facts.gap.max_gap
        return f"{words['gap'].format(word=word, gap=math.inf if gap is None else gap, step=step)}{breaks}"
    return f"{words['no']}{breaks}"


def _ratio(facts: ModeResult | None) -> str:
    return f"{facts.speed_ratio:.2f}" if facts and facts.speed_ratio else "-"


def _reason(mode: str, facts: ModeResult) -> str:
    if facts.departs_at:
        return ""
    place = f" ({facts.places[-1]})" if facts.places else ""
    text = facts.problem.removeprefix("script_failed: ")
    return f"{mode}: {text[:200]}{place}"
