"""The 12 recorded dialogues of the original ConversationBot, replayed: the k-th call of the language model gets the k-th recorded
completion, tools that speak give the recorded texts, tools that paint a plain picture. Compared for every call: scratchpad, history, input;
for every turn: tool calls with their inputs and results, answer, memory; for every upload: name, size, memory.

The original's sentences (how a picture is introduced, an unknown tool) are taken out of the recorded memory of one dialogue in each language, and
stand in the place of ours. A turn in which the original raises must end without an answer and leave the memory as it was.
"""

import dataclasses
import hashlib
import os
import tempfile

from naming import NAMES, read
from paddlenlp.experimental.agents.language_models import ScriptedModel
from paddlenlp.experimental.agents.visual_chat import (
    TEXTS,
    ModelPool,
    Policy,
    Session,
    TextFormat,
    VisualChatAgent,
    WordMemory,
    all_tools,
    linked,
)
from PIL import Image

from proving.record import arguments, write_metrics

LANGUAGES = {"English": "en", "Chinese": "zh"}
FROM = {"en": "s01_en_single_caption", "zh": "s08_zh_single_vqa"}


class Recording(VisualChatAgent):
    """Keeps what each request was made from."""

    def request(self, session, text, history, scratchpad):
        self.asked.append({"input": text, "chat_history": history, "agent_scratchpad": scratchpad})
        return super().request(session, text, history, scratchpad)


class Uuids:
    def __init__(self, seed):
        self.seed, self.number = seed, 0

    def __call__(self):
        said = hashlib.sha256(("uuid:%s:%d" % (self.seed, self.number)).encode()).hexdigest()[:32]
        self.number += 1
        return said


def sentences(dialogues):
    """Our texts with the original's sentences."""
    texts = {}
    for language, name in FROM.items():
        turn = next(d for d in dialogues if d["name"] == name)["turns"][0]
        human, ai = turn["memory_after"].split("\nAI: ")
        human = human.replace("\nHuman: ", "", 1).replace(turn["image_file"], "{name}").replace(turn["caption"], "{caption}")
        texts[language] = dataclasses.replace(
            TEXTS[language],
            picture_shown=human,
            received=ai,
            unknown_tool="{name} is not a valid tool, try another one.",
            out_of_steps="Agent stopped due to max iterations.",
        )
    return texts


def scripted(tool, said):
    """The tool with recorded results: texts in turn, pictures as its fake paints them."""
    if not tool.lineage:
        tool.run = lambda context, **given: said.pop(0)
    else:
        tool.run = tool.fake
    return tool


def replay(dialogue, texts, folder, differences):
    """Counts of what was compared; differences are appended as (dialogue, turn, what, got, want)."""
    counts = {"calls": 0, "tool_calls": 0, "turns": 0, "uploads": 0, "failed_turns": 0}
    completions = [call["completion"] for turn in dialogue["turns"] for call in turn.get("llm_calls", [])]
    said = []
    model = ScriptedModel(completions)
    tools = [scripted(tool, said) for tool in all_tools(list(NAMES))]
    policy = Policy(max_steps=15, repairs=0, same_calls=0)
    agent = Recording(model, ModelPool({}, 0), tools, TextFormat(NAMES), policy, texts)
    session = Session(folder, LANGUAGES[dialogue["language"]], WordMemory(500), Uuids(dialogue["uuid_seed"]))
    for number, want in enumerate(dialogue["turns"]):
        compared = []
        agent.asked = []
        if want["type"] == "image":
            said.append(want["caption"])
            name = agent.show(session, Image.new("RGB", tuple(want["uploaded_size"])))
            compared += [("file", name, want["image_file"]), ("size", list(session.gallery.get(name).size), want["saved_size"])]
            compared += [
                ("shown", linked(name), want["history_pair"][0]),
                ("received", agent.texts[session.language].received, want["history_pair"][1]),
            ]
            counts["uploads"] += 1
        else:
            spoken = [call["output"] for call in want["tool_calls"] if not call["output"].startswith("image/")]
            said.extend(spoken)
            turn = agent.run(session, want["text"])
            compared.append(("fails", bool(turn.trouble), "raises" in want))
            if "raises" not in want:
                compared.append(("answer", linked(turn.answer), want["answer"]))
            calls = [{key: call[key] for key in ("input", "chat_history", "agent_scratchpad")} for call in want["llm_calls"]]
            compared += [("number of calls", len(agent.asked), len(calls))]
            compared += [("call %d" % k, got, call) for k, (got, call) in enumerate(zip(agent.asked, calls))]
            used = [{"name": s.tool, "input": s.raw, "output": s.observation} for s in turn.steps if not s.error]
            compared.append(("tools", used, want["tool_calls"]))
            counts["calls"] += len(calls)
            counts["tool_calls"] += len(used)
            counts["failed_turns"] += "raises" in want
            counts["turns"] += 1
        compared.append(("memory", session.memory.text(), want["memory_after"]))
        differences += [(dialogue["name"], number, what, got, was) for what, got, was in compared if got != was]
    if said or session.gallery._unique.number != len(dialogue["uuids"]):
        differences.append((dialogue["name"], -1, "left over", said, len(dialogue["uuids"])))
    return counts


def main():
    args = arguments()
    reference = args.reference or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")
    stored = read(reference, "agent_transcripts.json")
    dialogues = next(value for value in stored.values() if isinstance(value, list))
    texts, totals, differences = sentences(dialogues), {"dialogues": len(dialogues)}, []
    for dialogue in dialogues:
        with tempfile.TemporaryDirectory() as folder:
            for key, value in replay(dialogue, texts, folder, differences).items():
                totals[key] = totals.get(key, 0) + value
    for where, turn, what, got, want in differences:
        print("%s turn %d, %s:\n  got  %r\n  want %r" % (where, turn, what, str(got)[-600:], str(want)[-600:]))
    write_metrics(args.out, dict(totals, differences=len(differences)))


if __name__ == "__main__":
    main()
