"""Writes chat_answers.json: 200 answers in the manner of ten chat models, Chinese and English, with what must be read of each.

All texts are ours. 14 of the 20 answers of a manner are made here from its habits (preamble, list marks, signs, words); six are
written by hand. A case is [manner, kind, given, text, read]; kinds: "moves" (given the numbers), "expression" (given the puzzle),
"verdict", "choice", "rating", "words" (of a crossword). What cannot be read is [] or "" or null.
"""

import json
import os

PUZZLES = {
    "4 5 6 10": [("4", "+", "5", "9", "6 9 10"), ("10", "-", "4", "6", "5 6 6"), ("4", "*", "6", "24", "5 10 24"), ("10", "/", "5", "2", "2 4 6")],
    "3 3 8 8": [("8", "/", "3", "8/3", "8/3 3 8"), ("3", "*", "8", "24", "3 8 24"), ("3", "-", "8", "-5", "-5 3 8")],
    "1 5 11 13": [("13", "-", "11", "2", "1 2 5"), ("1", "+", "5", "6", "6 11 13")],
    "6 9 10": [("10", "-", "6", "4", "4 9"), ("9", "/", "6", "1.5", "1.5 10")],
    "2 12": [("2", "*", "12", "24", "24"), ("12", "-", "2", "10", "10")],
}  # fmt: skip
ANSWERS = {
    "4 5 6 10": "5 * (10 - 4) - 6",
    "3 3 8 8": "8 / (3 - 8 / 3)",
    "1 5 11 13": "(5 - 1) * 11 - 13",
}  # the last is 31: a wrong answer is read, too

FULL = {ord(a): b for a, b in zip("()+-=/,:", "（）＋－＝／，：")}
SIGNS = {"*": "×", "/": "÷", "-": "−"}


def signs(text):
    return "".join(SIGNS.get(c, c) for c in text)


def fractions_apart(text, change):
    """`change` for the signs of an operation, not for the line of a fraction or the sign of a number."""
    return " ".join(change(part) if len(part) == 1 else part for part in text.split(" "))


# manner -> (preamble, line of a move, end), (before and after an expression), (verdicts), (choices), (ratings)
MANNERS = {
    "gpt-4": (
        ("", lambda n, m: "%s %s %s = %s (left: %s)" % m, ""),
        ("Answer: %s = 24", str),
        ("sure", "impossible", "likely"),
        "Choice 2 is concise, choice 1 is vague.\n\nThe best choice is 2",
        "It flows well.\n\nThus the coherency score is 7",
    ),
    "gpt-3.5": (
        ("Sure! Here are some possible next steps:\n\n", lambda n, m: "%d. %s %s %s = %s (left: %s)" % ((n,) + m), "\n\nLet me know if you need more!"),
        ("The steps give us the final expression:\n\nAnswer: %s = 24\n\nI hope this helps!", str),
        ("Sure, let me evaluate:\n4 * 6 = 24\n\nSure!", "10 + 14 = 24? No, 10 and 14 are not there.\n\nImpossible.", "It is hard to say, but the numbers look likely."),
        "After comparing both, the best choice is Choice 2.",
        "The passage reads well, so I would give a coherency score of 7 out of 10.",
    ),
    "claude": (
        ("I'll list the possible operations:\n\n", lambda n, m: "- %s %s %s = %s (remaining: %s)" % m, "\n\nThese combine two numbers at a time."),
        ("Looking at the steps:\n\n**Answer: %s = 24**", lambda e: e),
        ("Let me check: 4 × 6 = 24 ✓\n\n**Verdict: sure**", "I tried every pair.\n\n**impossible**", "**Likely** – the numbers are about right."),
        "Weighing the options, I believe **the best choice is 2**.",
        "**Thus the coherency score is 7.**",
    ),
    "llama-2": (
        (" Sure, I'd be happy to help! Here are the possible next steps:\n\n", lambda n, m: "* %s %s %s = %s (Left: %s)" % m, "\n\nPlease note that there may be other steps."),
        (" Great! The answer is:\n\nAnswer: %s = 24\n", lambda e: e),
        (" Sure! Here is my judgement:\n\nJudge: sure", " Based on the numbers, it is impossible to reach 24.", " Judge: likely"),
        " My analysis is above. Therefore, the best choice is 2.",
        " Thus, the coherency score is: 7",
    ),
    "llama-3": (
        ("Here are the possible next steps:\n\n", lambda n, m: "**Step %d:** %s %s %s = %s → left: %s" % ((n,) + m[:4] + (m[4].replace(" ", ", "),)), ""),
        ("The final answer is: $\\boxed{%s = 24}$", lambda e: e.replace("*", "\\times")),
        ("## Judgement\nsure", "The answer is: impossible", "Judge: **likely**"),
        "The best choice is: **2**",
        "Coherency score: **7**/10",
    ),
    "mistral": (
        ("1. Possible next steps are:\n", lambda n, m: "   %s) %s%s%s=%s (left: %s)" % (("abcdefgh"[n - 1],) + m), ""),
        ("`Answer: %s = 24`", lambda e: e.replace(" ", "")),
        ("`sure`", "Judge: impossible.\nExplanation: no pair makes 24.", "\"likely\""),
        "Best choice: 2",
        "score: 7",
    ),
    "qwen": (
        ("下面是可能的下一步：\n\n", lambda n, m: ("%d. %s " + SIGNS.get(m[1], m[1]) + " %s = %s（剩余：%s）") % (n, m[0], m[2], m[3], m[4]), "\n\n希望对你有帮助！"),
        ("根据以上步骤，最终的算式为：\n\n**答案：%s = 24**", lambda e: fractions_apart(e, signs)),
        ("**sure（能）**", "**impossible（不能）**", "likely（可能）"),
        "综合比较，最佳选择是 2。",
        "文章连贯性较好，连贯性评分：7 分。",
    ),
    "chatglm": (
        ("", lambda n, m: ("%s " + SIGNS.get(m[1], m[1]) + " %s = %s，剩下的数是 %s") % (m[0], m[2], m[3], m[4].replace(" ", "、")), ""),
        ("答：%s＝24", lambda e: fractions_apart(e, signs).replace("(", "（").replace(")", "）")),
        ("能", "不能", "可能"),
        "我认为选择 2 更好，因此最好的选择是 2",
        "我给这篇文章打分：7",
    ),
    "ernie": (
        ("好的，以下是每一步的可能情况：\n", lambda n, m: ("（%d）%s" + SIGNS.get(m[1], m[1]) + "%s＝%s（剩余数字：%s）") % (n, m[0], m[2], m[3], m[4].replace(" ", "，")), "以上。"),
        ("最终算式：%s = 24。", lambda e: fractions_apart(e, signs).replace("(", "（").replace(")", "）")),
        ("结论：肯定能得到 24。", "经过计算，这些数无法得到 24。", "也许可以，判断：likely（可能）"),
        "因此，最优选择是选项 2。",
        "得分为 7 分（满分 10 分）。",
    ),
    "deepseek": (
        ("<think>\nFirst, 4 + 4 = 8 (left: 1 8)? No, there is one 4 only.\n</think>\n\nPossible next steps:\n", lambda n, m: "%d. `%s %s %s = %s` (left: `%s`)" % ((n,) + m), ""),
        ("<think>Maybe Answer: 1 + 1 = 24? no.</think>\n\n\\[\n%s = 24\n\\]", lambda e: e.replace("*", "\\times").replace("/", "\\div")),
        ("<think>I am not sure, maybe impossible.</think>\nsure", "<think>\nsure? no\n</think>\n\nimpossible", "<think>sure or impossible</think>**likely**"),
        "<think>1 or 2, choice 1?</think>\n\nThe best choice is **2**.",
        "<think>score 3? no</think>Thus the coherency score is 7.",
    ),
}  # fmt: skip

BY_HAND = {
    "gpt-4": [
        ("moves", "4 5 6 10", "I cannot help with that.", []),
        ("verdict", "", "24 can be made in more than one way\nsure", "sure"),
        ("moves", "24", "24", []),
        ("words", "", "h1. tasks (medium)\nv5. essay (high)", ["h1. tasks", "v5. essay"]),
        ("choice", "", "The best choice is 12", 12),
        ("rating", "", "A good text without a figure.", None),
    ],
    "gpt-3.5": [
        ("moves", "4 5 6 10", "Step 1: 4 + 5 = 9, then 9 + 6 = 15 and 15 + 10 = 25.", []),
        ("verdict", "", "I'm not sure about that.", ""),
        ("expression", "4 5 6 10", "Answer: (5 * (10 - 4)) - 6 = 24. This uses 4, 5, 6 and 10 once each.", "(5 * (10 - 4)) - 6"),
        ("words", "", "1. h1: TASKS - high\n2. v1: TWIST - low", ["h1. tasks", "v1. twist"]),
        ("choice", "", "I would pick choice 1, not 2.", 1),
        ("moves", "5 9", "5 + 9 = 14 (14 left)", ["5 + 9 = 14 (left: 14)"]),
    ],
    "claude": [
        ("moves", "4 5 6 10", "| Step | Left |\n|---|---|\n| 4 + 5 = 9 | 6, 9, 10 |\n| 10 - 4 = 6 | 5, 6, 6 |", ["4 + 5 = 9 (left: 6 9 10)", "10 - 4 = 6 (left: 5 6 6)"]),
        ("verdict", "", "This is unlikely to work.", ""),
        ("expression", "4 5 6 10", "Checking: 10 - 4 = 6; 5 * 6 = 30; 30 - 6 = 24.\n\n**Answer:** 5 * (10 - 4) - 6 = 24", "5 * (10 - 4) - 6"),
        ("words", "", "- **h3**: *motor* (certain)\n- not a line", ["h3. motor"]),
        ("expression", "4 5 6 10", "There is no way to do this.", ""),
        ("verdict", "", "Yes", "sure"),
    ],
    "llama-2": [
        ("moves", "1.5 10", "1.5 + 10 = 11.5 (left: 11.5)\n10 - 1.5 = 8.5 (left: 8.5)", ["1.5 + 10 = 11.5 (left: 11.5)", "10 - 1.5 = 8.5 (left: 8.5)"]),
        ("moves", "4 5 6 10", "4 + 5 = 9 (left: 6 9 10)\n\nInput: 2 2\nPossible next steps:\n2 + 2 = 4 (left: 4)", ["4 + 5 = 9 (left: 6 9 10)"]),
        ("verdict", "", "sure\n1 1\nimpossible", "sure"),
        ("verdict", "", "Sure, I'd be happy to help! What are the numbers?", ""),
        ("words", "", " Sure! h1. apple (high)", []),
        ("choice", "", "Both are fine.", None),
    ],
    "llama-3": [
        ("moves", "4 5 6 10", "4 * 5 + 6 = 26 (left: 10 26)", []),
        ("expression", "3 3 8 8", "Answer: $\\frac{8}{3 - \\frac{8}{3}} = 24$", "(8)/(3 - (8)/(3))"),
        ("verdict", "", "The numbers can't reach 24.", "impossible"),
        ("words", "", "h1. Apple (Certain)", ["h1. apple"]),
        ("moves", "4 5 6 10", "4 + 5 = 9 leaving 6, 9 and 10", ["4 + 5 = 9 (left: 6 9 10)"]),
        ("expression", "4 5 6 10", "5(10 - 4) - 6 = 24", "5 * (10 - 4) - 6"),
    ],
    "mistral": [
        ("moves", "4 5 6 10", "4 x 5 = 20 [left: 6 10 20]\n(10 - 4) = 6; remaining numbers: 5; 6; 6", ["4 * 5 = 20 (left: 6 10 20)", "10 - 4 = 6 (left: 5 6 6)"]),
        ("verdict", "", "- impossible", "impossible"),
        ("expression", "4 5 6 10", "24 = 5 * (10 - 4) - 6", "5 * (10 - 4) - 6"),
        ("expression", "4 5 6 10", "Answer: 4 + 5 + 6 + 10 = 24\nWait, that is 25.\nAnswer: 5 * (10 - 4) - 6 = 24", "5 * (10 - 4) - 6"),
        ("words", "", "v2 - ABBEY, low", ["v2. abbey"]),
        ("rating", "", "Thus the coherency score is {8}", 8),
    ],
    "qwen": [
        ("moves", "4 5 6 10", "1.4 + 5 = 9（剩余：6 9 10）\n2.10 − 4 = 6（剩余：5 6 6）", ["4 + 5 = 9 (left: 6 9 10)", "10 - 4 = 6 (left: 5 6 6)"]),
        ("verdict", "", "不可能", "impossible"),
        ("verdict", "", "能否得到 24 还不确定", ""),
        ("expression", "4 5 6 10", "\\( 5 \\times (10 - 4) - 6 = 24 \\)", "5 * (10 - 4) - 6"),
        ("words", "", "横向填词：\nh1. apple（高）\nv1: actor（中）", ["h1. apple", "v1. actor"]),
        ("choice", "", "我选择选项 1，而不是 2。", 1),
    ],
    "chatglm": [
        ("moves", "4 5 6 10", "先算 4 + 5 = 9，还剩 6、9 和 10", ["4 + 5 = 9 (left: 6 9 10)"]),
        ("moves", "4 5 6 10", "抱歉，我无法回答这个问题。", []),
        ("verdict", "", "4 6\n4 × 6 = 24\nsure（能）", "sure"),
        ("verdict", "", "这些数太大，得不到 24", "impossible"),
        ("expression", "4 5 6 10", "答案：４ ＋ ５ ＋ ６ ＋ １０", "4 + 5 + 6 + 10"),
        ("choice", "", "最佳选择：2", 2),
    ],
    "ernie": [
        ("moves", "3 3 8 8", "8÷3＝8/3（剩余：8/3 3 8）", ["8 / 3 = 8/3 (left: 8/3 3 8)"]),
        ("verdict", "", "当然可以，我来判断。\n11 + 12 + 12 = 35\n数太大，不能。", "impossible"),
        ("verdict", "", "对", "sure"),
        ("verdict", "", "不正确", "impossible"),
        ("expression", "4 5 6 10", "表达式：5*[10-4]-6=24", "5*(10-4)-6"),
        ("rating", "", "我的评分是 9", 9),
    ],
    "deepseek": [
        ("moves", "4 5 6 10", "<think>\n4 + 5 = 9 (left: 6 9 10)", []),
        ("verdict", "", "<think>cut off by the limit, sure", ""),
        ("moves", "3 8", "3 - 8 = -5 (left: -5)\n3 - (-8) = 11 (left: 11)", ["3 - 8 = -5 (left: -5)", "3 - -8 = 11 (left: 11)"]),
        ("expression", "4 5 6 10", "**Final Answer**\n$$\\boxed{5 \\times (10 - 4) - 6}$$", "5 * (10 - 4) - 6"),
        ("verdict", "", "It is likely impossible.", "impossible"),
        ("words", "", "```\nh1. apple (high)\n```", ["h1. apple"]),
    ],
}  # fmt: skip


def cases():
    for manner, ((preamble, line, end), (answer, change), verdicts, vote, score) in MANNERS.items():
        for numbers, found in PUZZLES.items():
            text = preamble + "\n".join(line(n, move) for n, move in enumerate(found, 1)) + end
            yield manner, "moves", numbers, text, ["%s %s %s = %s (left: %s)" % move for move in found]
        for puzzle, right in ANSWERS.items():
            text = answer % change(right)
            yield manner, "expression", puzzle, text, right
        for said, text in zip(("sure", "impossible", "likely"), verdicts):
            yield manner, "verdict", "", text, said
        yield manner, "choice", "", vote, 2
        yield manner, "rating", "", score, 7
        text = "h2. motor (high)\n" if "left" in line(1, PUZZLES["2 12"][0]) else "h2. motor（高）\n"
        yield manner, "words", "", text, ["h2. motor"]
        for kind, given, text, read in BY_HAND[manner]:
            yield manner, kind, given, text, read


def main():
    made = [list(case) for case in cases()]
    assert len(made) == 200, len(made)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chat_answers.json")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in made) + "\n]\n")


if __name__ == "__main__":
    main()
