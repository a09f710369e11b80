# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Which tool a language model chooses: requests in English and Chinese, and a scorer.

Each request has one expected call, a chain of two or three, or none (an answer is right). What is asked of the model is the next action,
after the expected earlier ones (so an early mistake does not hide the later decisions); a chain is right if all of its actions are. An action
counts as

- valid, if it can be read and run: an answer, or a tool that there is with all of its arguments, each of its kind, pictures that there are;
- right in its tool, if the tool is an expected one (or an answer where none is);
- right, if the expected picture and word are in its arguments as well.
"""

from __future__ import annotations

import csv
import math
import os
import random
import re
import tempfile
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from paddlenlp.experimental.agents.language_models import Completion, LanguageModel
from paddlenlp.experimental.agents.visual_chat import (
    Answer,
    ArgumentError,
    FormatError,
    ModelPool,
    Policy,
    Session,
    VisualChatAgent,
    all_tools,
)
from PIL import Image

REQUESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requests.tsv")
LANGUAGES = {"en": "english", "zh": "chinese"}


@dataclass(frozen=True)
class Expected:
    """One expected action: tools that are right, the number of the picture (from 1, 0 for none), a word of the arguments."""

    tools: Tuple[str, ...]
    picture: int = 0
    word: str = ""


@dataclass
class Decision:
    """The next action of one request.

    Args:
        request (int): Row of the table. kind, language, text: of the request.
        pictures (int): How many uploads there are before it.
        done (list of Expected): Actions that were done before.
        expected (Expected, optional): None where an answer is right.
    """

    request: int
    kind: str
    language: str
    text: str
    pictures: int
    done: List[Expected] = field(default_factory=list)
    expected: Optional[Expected] = None


def read_expected(text: str) -> Expected:
    """`tool($2; word)|tool($2)` as an Expected; the picture and the word are those of the first alternative."""
    names, picture, word = [], 0, ""
    for number, choice in enumerate(text.split("|")):
        found = re.fullmatch(r"([a-z_]+)(?:\((?:\$(\d))?;?\s*([a-z]*)\))?", choice.strip())
        if not found:
            raise ValueError("cannot read {!r}".format(choice))
        names.append(found[1])
        if not number:
            picture, word = int(found[2] or 0), found[3] or ""
    return Expected(tuple(names), picture, word)


def decisions(path: str = REQUESTS, languages: Sequence[str] = ("en", "zh")) -> List[Decision]:
    """All decisions of the table, in its order, one language after the other."""
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = []
    for language in languages:
        for number, row in enumerate(rows):
            base = (number, row["kind"], language, row[LANGUAGES[language]], int(row["pictures"]))
            if row["expected"] == "-":
                found.append(Decision(*base))
                continue
            chain = [read_expected(part) for part in row["expected"].split(" > ")]
            found += [Decision(*base, done=chain[:place], expected=step) for place, step in enumerate(chain)]
    return found


class Stage:
    """A conversation as it is before one decision: the pictures there are, the steps that were done, the prompt."""

    def __init__(self, agent: VisualChatAgent, decision: Decision, folder: str):
        unique = random.Random("{}{}{}".format(decision.request, decision.language, len(decision.done)))
        self.agent, self.decision = agent, decision
        self.session = Session(folder, decision.language, unique=lambda: "{:032x}".format(unique.getrandbits(128)))
        gallery, texts = self.session.gallery, agent.texts[decision.language]
        self.names: List[str] = []
        for number in range(min(1, decision.pictures)):
            self.names.append(gallery.add(Image.new("RGB", (64, 64))))
            shown = texts.picture_shown.format(name=self.names[0], caption="a photo")
            self.session.memory.add(shown, texts.received)
        if decision.pictures == 2:
            self.names.append(gallery.add(Image.new("RGB", (64, 64)), self.names[0], "pix2pix"))
            asked = {"en": "Please edit it a little.", "zh": "请稍微修改一下。"}[decision.language]
            self.session.memory.add(asked, self.names[1])
        scratchpad = ""
        for step in decision.done:
            said = self.write(step)
            tool = self.tool(step.tools[0])
            observation = "done"
            if tool.lineage:
                parent = self.names[step.picture - 1] if step.picture else ""
                observation = gallery.add(Image.new("RGB", (64, 64)), parent, tool.lineage)
                self.names.append(observation)
            scratchpad += agent.format.step(said, observation)
        self.request = agent.request(self.session, decision.text, self.session.memory.text(), scratchpad)

    def tool(self, name: str):
        return next(tool for tool in self.agent.tools if tool.name == name)

    def values(self, tool, picture: str, word: str) -> Dict[str, str]:
        """Arguments of a tool that can be read."""
        kinds = {"picture": picture, "size": "1024x768", "text": word}
        return {name: kinds[argument.kind] for name, argument in tool.arguments.items()}

    def write(self, expected: Optional[Expected], answer: str = "Done.") -> str:
        """The action, or an answer, as a model would write it in the agent's format."""
        if expected is None:
            return self.agent.format.written(None, answer)
        tool = self.tool(expected.tools[0])
        picture = self.names[expected.picture - 1] if expected.picture else (self.names or ["image/none.png"])[-1]
        return self.agent.format.written(tool, self.values(tool, picture, expected.word or "something"))

    def judge(self, said: str) -> Dict[str, bool]:
        """valid, tool, right: see the module."""
        want, format = self.decision.expected, self.agent.format
        try:
            parsed = format.parse(said)
        except FormatError:
            return {"valid": False, "tool": False, "right": False}
        if isinstance(parsed, Answer):
            return {"valid": True, "tool": want is None, "right": want is None}
        tool = format.find(self.agent.tools, parsed.tool)
        if tool is None:
            return {"valid": False, "tool": False, "right": False}
        chosen = want is not None and tool.name in want.tools
        try:
            given = tool.split(parsed.raw) if parsed.arguments is None else parsed.arguments
            values = tool.read(given, self.session.gallery)
        except ArgumentError:
            return {"valid": False, "tool": chosen, "right": False}
        right = chosen and (not want.picture or values.get("picture") == self.names[want.picture - 1])
        right = right and want.word.rstrip("s") in " ".join(map(str, values.values())).lower()
        return {"valid": True, "tool": chosen, "right": bool(right)}


# ------------------------------------------------------------------ who answers


class Oracle(LanguageModel):
    """Writes what is expected: what the scorer must call right everywhere."""

    name = "oracle"

    def answer(self, stage: Stage) -> str:
        return stage.write(stage.decision.expected)

    def complete(self, requests):
        raise NotImplementedError("it is asked stage by stage")


class Chance(Oracle):
    """A tool or an answer by chance, with arguments that can be read."""

    name = "random"

    def __init__(self, seed: int = 0):
        self.random = random.Random(seed)

    def answer(self, stage: Stage) -> str:
        tools = [
            t for t in stage.agent.tools if stage.names or not any(a.kind == "picture" for a in t.arguments.values())
        ]
        tool = self.random.choice([None] + tools)
        if tool is None:
            return stage.write(None)
        picture = self.random.choice(stage.names) if stage.names else ""
        return stage.agent.format.written(tool, stage.values(tool, picture, "something"))


class Keywords(Oracle):
    """The first tool of which a keyword is in what is left of the request, on the newest picture; no tool without a keyword."""

    name = "keywords"
    WORDS = (
        ("edge|canny|边缘", "detect_edges", "paint_from_edges"),
        ("straight line|直线", "detect_lines", "paint_from_lines"),
        ("hed|boundar|边界", "detect_boundaries", "paint_from_boundaries"),
        ("sketch|scribble|草图", "make_scribble", "paint_from_scribble"),
        ("pose|姿态", "detect_pose", "paint_from_pose"),
        ("depth|深度", "predict_depth", "paint_from_depth"),
        ("normal|法线", "predict_normals", "paint_from_normals"),
        ("mask|掩码", "segment_object", ""),
        ("segment|分割", "segment_all", "paint_from_segments"),
        ("replace|swap|换成", "replace_object", ""),
        ("background|背景", "remove_background", ""),
        ("remove|erase|去掉|擦除", "remove_object", ""),
        ("upscale|放大", "upscale", ""),
        ("extend|扩展", "extend_picture", ""),
        ("crop the middle|中间", "crop_center", ""),
        ("crop|cut|裁剪", "crop_object", ""),
        ("detect|box|检测|框", "detect_object", ""),
        ("read|识别|读", "read_text", ""),
        ("how many|what colo|where|is there|几|什么颜色|哪里|吗", "answer_question", ""),
        ("make|turn|变成", "edit_by_instruction", ""),
        ("describe|caption|what is in|描述|有什么", "describe_picture", ""),
        ("paint|draw|generate|画|生成", "generate_picture", ""),
    )

    def answer(self, stage: Stage) -> str:
        text, used = stage.decision.text.lower(), {step.tools[0] for step in stage.decision.done}
        for pattern, tool, painter in self.WORDS:
            if not re.search(pattern, text):
                continue
            name = painter if tool in used else tool
            if name and name not in used:
                found = stage.tool(name)
                if any(a.kind == "picture" for a in found.arguments.values()) and not stage.names:
                    continue
                word = text.split()[-1].strip(".?!")
                return stage.agent.format.written(found, stage.values(found, (stage.names or [""])[-1], word))
        return stage.write(None)


# ------------------------------------------------------------------ the whole run


def wilson(hits: int, total: int, z: float = 1.96) -> Tuple[float, float]:
    """95 % interval of a share, by Wilson's score."""
    if not total:
        return 0.0, 1.0
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def run(
    model: LanguageModel, format: str = "text", guided: bool = False, languages=("en", "zh"), max_tokens: int = 64
) -> Dict:
    """All decisions of one model; gives {"rows": one a decision, "summary": shares with their intervals}."""
    policy = Policy(max_tokens=max_tokens, guided=guided)
    agent = VisualChatAgent(model, ModelPool({}, 0), all_tools(), format, policy)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        stages = [Stage(agent, d, os.path.join(folder, str(k))) for k, d in enumerate(decisions(languages=languages))]
        if isinstance(model, Oracle):
            said = [Completion([model.answer(stage)]) for stage in stages]
        else:
            said = model.complete([stage.request for stage in stages])
        for stage, completion in zip(stages, said):
            text = completion.texts[0] if completion.texts else ""
            d = stage.decision
            place = {"request": d.request, "kind": d.kind, "language": d.language, "step": len(d.done)}
            rows.append({**place, **stage.judge(text), "said": text, "refused": completion.refused})
    return {"model": model.name, "format": format, "guided": guided, "rows": rows, "summary": summary(rows)}


def summary(rows: List[Dict]) -> Dict[str, Dict[str, List[float]]]:
    """{group: {measure: [share, lower, upper, number]}} for all rows, each language and each kind; "requests" are whole chains."""
    groups = {"all": rows}
    for key in ("language", "kind"):
        for value in dict.fromkeys(row[key] for row in rows):
            groups[value] = [row for row in rows if row[key] == value]
    table = {}
    for name, members in groups.items():
        table[name] = {what: _share([row[what] for row in members]) for what in ("valid", "tool", "right")}
        whole: Dict[Tuple, bool] = {}
        for row in members:
            key = (row["request"], row["language"])
            whole[key] = whole.get(key, True) and row["right"]
        table[name]["requests"] = _share(list(whole.values()))
    return table


def _share(hits: List[bool]) -> List[float]:
    low, high = wilson(sum(hits), len(hits))
    return [round(sum(hits) / max(1, len(hits)), 4), round(low, 4), round(high, 4), len(hits)]
