"""What the agent itself costs, without models: from an input to the first request, and from one request to the next.

All 30 tools are offered; the user has 20 pictures and a full memory. The tool that is called answers with a text at once.

    PYTHONPATH=<work tree>:ci python patches/nlp/taskmatrix/checks/latency.py --out DIR
"""

import json
import os
import statistics
import tempfile
import time

from paddlenlp.experimental.agents.language_models import ScriptedModel
from paddlenlp.experimental.agents.visual_chat import ModelPool, Policy, Session, VisualChatAgent, all_tools
from PIL import Image

from proving.record import arguments

STEPS, ROUNDS = 10, 60


def measure(format, guided, folder):
    """Milliseconds (first, step), one of each a round."""
    asked = []

    def script(request):
        asked.append(time.perf_counter())
        done = len(asked) > STEPS
        arguments = {"picture": name}
        tool = None if done else next(t for t in agent.tools if t.name == "describe_picture")
        return [agent.format.written(tool, "done" if done else arguments)]

    tools = all_tools()
    for tool in tools:
        tool.run = lambda context, **given: "a dog"
    agent = VisualChatAgent(ScriptedModel(script), ModelPool({}, 0), tools, format, Policy(same_calls=0, guided=guided))
    session = Session(folder)
    for _ in range(20):
        name = session.gallery.add(Image.new("RGB", (64, 64)))
    first, step = [], []
    for _ in range(ROUNDS):
        while session.memory.count(session.memory.text()) < session.memory.limit:
            session.memory.add("a question of some length about %s" % name, "an answer of some length about it")
        asked.clear()
        start = time.perf_counter()
        agent.run(session, "what is in %s?" % name)
        first.append(1000 * (asked[0] - start))
        step += [1000 * (b - a) for a, b in zip(asked, asked[1:])]
    return first, step


def main():
    args = arguments()
    table = {}
    for format in ("text", "json"):
        for guided in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                first, step = measure(format, guided, folder)
            spread = {}
            for what, values in (("first", first), ("step", step)):
                deciles = statistics.quantiles(values, n=10)
                spread[what] = {"median_ms": round(statistics.median(values), 3), "p90_ms": round(deciles[-1], 3), "n": len(values)}
            table[format + (" guided" if guided else "")] = spread
    with open(os.path.join(args.out, "latency.json"), "w", encoding="utf-8") as stream:
        json.dump(table, stream, indent=1)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
