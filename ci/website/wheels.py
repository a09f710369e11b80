"""The page that says who needs which wheel."""

from __future__ import annotations

from forklift.model import Change, Suite
from forklift.results.page import Language

_TEXTS = {
    "en": (
        "# Wheels: a patched suite without a fork",
        "Who wants to use the changes and not to read them installs a suite's release with all its changes in place. Each wheel is "
        "the release from the package index, repacked over the patched tree: compiled files are the release's own, and the "
        "version ends in `+forklift`. What a release does not ship (tools, configurations, examples outside of its package) is "
        "in no wheel; for that, build the branch on the fork.",
        ["suite", "make it", "version", "changes in it", "who needs it"],
        "no release, so there is no wheel: install from the built branch",
        "no change of ours yet",
    ),
    "zh": (
        "# 安装包：不用 fork 也能用上改动后的套件",
        "只想使用、不想阅读改动的人，可以直接安装带有全部改动的发布版。每个安装包都是把发布版的 wheel 按打过补丁的代码树重新打包："
        "编译产物仍是发布版的，版本号以 `+forklift` 结尾。发布版不含的内容（tools、配置、包外示例）安装包里也没有，"
        "需要时请在 fork 上构建分支。",
        ["套件", "命令", "版本", "包含的改动", "适合谁"],
        "没有发布版，因此没有安装包；请从构建的分支安装",
        "尚无改动",
    ),
}
_EXAMPLE = "    make wheel-seg\n    pip install --no-deps out/wheels/paddleseg-*.whl"
_WHO = {
    "seg": (
        "who trains segmentation models: PIDNet, and every model with dynamic-to-static",
        "训练分割模型：PIDNet，以及全部模型的动转静训练",
    ),
    "clas": (
        "who uses SOLIDER's backbone, or trains classifiers with dynamic-to-static",
        "使用 SOLIDER 骨干网络，或用动转静训练分类模型",
    ),
    "nlp": (
        "who builds Tree of Thoughts on a language model (`paddlenlp.experimental.agents`)",
        "在语言模型上使用思维树（`paddlenlp.experimental.agents`）",
    ),
    "onnx": (
        "who exports FP16 models with the released core: `paddle2onnx.fp16` prepares the program for it",
        "用发布版内核导出 FP16 模型：`paddle2onnx.fp16` 为其准备程序",
    ),
    "ocr": (
        "nobody yet: layout recovery in C++ is built from the fork (`deploy/cpp_infer`), which no wheel holds",
        "暂无：C++ 版面恢复在 fork 的 `deploy/cpp_infer` 里构建，安装包不含",
    ),
}


def text(suites: list[Suite], changes: list[Change], language: Language) -> str:
    """The page in one language."""
    title, first, heads, no_release, no_change = _TEXTS[language]
    lines = [title, "", first, "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for suite in suites:
        own = [change.id for change in changes if change.suite.name == suite.name]
        names = ", ".join(f"[{name}](patches/{suite.short}/{name.partition('-')[2]})" for name in own) or no_change
        if suite.release is None:
            lines.append(f"| {suite.name} | - | - | {names} | {no_release} |")
            continue
        who = _WHO.get(suite.short, (no_change, no_change))[language == "zh"]
        lines.append(f"| {suite.name} | `make wheel-{suite.short}` | `{suite.release.version}+forklift` | {names} | {who} |")
    return "\n".join([*lines, "", _EXAMPLE, ""])
