"""Pure functions against the values that the original computed: names, cuts of the history, links, sizes, normal maps, Canny, masks, the
rounds of outpainting, and the splitting of 312 inputs of tools.

Where ours differs on purpose, the case is counted under its reason and must be one of REASONS; every other difference is `unnamed`.
"""

import hashlib
import os
import tempfile

import numpy as np
from naming import NAMES, read
from paddlenlp.experimental.agents.visual_chat import ArgumentError, Gallery, PictureError, all_tools, cut_by_words, linked
from paddlenlp.experimental.agents.visual_chat.pictures import derived_name, fitted_size
from paddlenlp.experimental.agents.visual_chat.tools import conditions, edit
from paddlenlp.experimental.agents.visual_chat.tools.generate import QUALITY
from PIL import Image

from proving.record import arguments, write_metrics

REASONS = {
    "tab": "the original counts a line that holds tabs as one word and runs out of lines; here the history is empty then",
    "dot": "the original's pattern takes any character for the dot before png",
    "blank": "a blank before the name of the picture is passed over",
    "comma": "the last text may hold commas",
    "empty": "an empty text is told to the model as missing instead of reaching a tool",
    "star": "a size may be written with * as well as with x",
    "slip": "the original names pictures without background as those with boxes",
}


class Tally:
    def __init__(self):
        self.counts, self.reasons, self.unnamed = {}, {}, []

    def add(self, what, got, want, reason=""):
        self.counts[what] = self.counts.get(what, 0) + 1
        if got == want:
            return
        if reason in REASONS:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        else:
            self.unnamed.append((what, got, want))


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except (PictureError, ArgumentError):
        return "raises"


def texts(tally, stored):
    for case in stored["get_new_image_name"]:
        got = outcome(derived_name, case["org_img_name"], case["func_name"], case["uuid4"])
        tally.add("names", got, case.get("value", "raises"))
    for case in stored["cut_dialogue_history"]:
        got = cut_by_words(case["history_memory"], case["keep_last_n_words"])
        tally.add("cuts", got, case.get("value", "raises"), "tab" if "\t" in (case["history_memory"] or "") else "")
    for case in stored["run_text_markdown"]:
        tally.add("links", linked(case["agent_output"]), case["answer"], "dot" if "Xpng" in case["agent_output"] else "")
    for case in stored["run_image_size"]:
        got = outcome(fitted_size, *case["size"])
        tally.add("sizes", got if got == "raises" else list(got), case.get("value", "raises"))


def pictures(tally, stored):
    for case in stored["resize_image_max_1000000_multiple_8"]:
        tally.add("working_sizes", list(edit.working_size(tuple(case["size"]))), case["result"])
    for case in stored["outpaint_schedule"]:
        rounds = edit.outpainting_rounds(tuple(case["start"]), tuple(case["target"]), case["expand_ratio"])
        got = []
        for part in rounds:
            _, mask = edit.canvas_around(Image.new("RGB", part.kept), part.canvas)
            black = int((np.asarray(mask.resize(part.painted, Image.NEAREST)) == 0).sum())
            got.append(
                {
                    "resized_canvas": list(part.painted),
                    "mask_black_pixels": black,
                    "kept": list(part.kept),
                    "canvas": list(part.canvas),
                }
            )
        tally.add("outpainting", got, case["steps"])
    for case in stored["pad_edge"]:
        mask = np.zeros(case["shape"], bool)
        for row, column in case["true_pixels"]:
            mask[row, column] = True
        grown = edit.widened(mask, case["padding"]).astype("uint8") * 255
        tally.add("masks", hashlib.sha256(grown.tobytes()).hexdigest(), case["sha256"])
    for case in stored["normal_map"]:
        depth = np.array(case["depth_values"], "float32")
        got = conditions.normal_map(depth, tuple(case["size"]), case["background_threshold"])
        want = np.array(case["normal"])
        tally.add("normals", np.asarray(got).astype(int).tolist(), want.astype(int).tolist())
    for case in stored["canny_100_200"]:
        width, height = case["size"]
        blocks = np.random.RandomState(40).randint(0, 256, (13, 17, 3)).astype("uint8")
        pixels = np.ascontiguousarray(blocks.repeat(4, 0).repeat(4, 1)[:height, :width])
        tally.add("canny_input", hashlib.sha256(pixels.tobytes()).hexdigest(), case["image_sha256"])
        edges = conditions.canny_edges(pixels)
        got = [hashlib.sha256(np.ascontiguousarray(e).tobytes()).hexdigest() for e in (edges, edges[:, :, 0])]
        tally.add("canny", case["edge_sha256"] in got and int((edges[:, :, 0] > 0).sum()) == case["edge_pixels"], True)


def reached(case):
    """The texts that reached the original's models, in the order of the tool's arguments."""
    found = []
    for kind, words, *_ in case["model_calls"]:
        if kind == "pipe":
            found.append(words[0][: -len(QUALITY)] if words[0].endswith(QUALITY) else words[0])
        elif kind == "processor" and len(words) > 1:
            found.append(words[1])
        elif kind == "grounding" or (kind == "inpaint" and words[0] != "background"):
            found.append(words[0])
        elif kind == "outpaint":
            found.append(tuple(words[1]))
    return [text.strip() if isinstance(text, str) else text for text in found]


def splitting(tally, cases, folder):
    gallery = Gallery(folder, lambda: "00000000")
    gallery.add(Image.new("RGB", (512, 512)))
    tools = {NAMES[tool.name]: tool for tool in all_tools(list(NAMES))}
    for case in cases:
        tool, given = tools[case["tool"]], case["input"]
        try:
            values = tool.read(tool.split(given), gallery)
        except ArgumentError:
            values = None
        if "raises" in case:
            reason = "blank" if given.startswith(" ") else "comma" if given.count(",") > 1 else "star" if "*" in given else ""
            tally.add("arguments", "raises" if values is None else values, "raises", reason)
            continue
        has_text = any(argument.kind != "picture" for argument in tool.arguments.values())
        want = reached(case) if has_text else []
        got = None if values is None else [values[n] for n, a in tool.arguments.items() if a.kind != "picture"]
        tally.add("arguments", got, want, "empty" if "" in want else "")
        if values is not None and tool.source(values):
            made = derived_name(tool.source(values), tool.lineage, case["output"][6:10]) if tool.lineage else case["output"]
            tally.add("made_names", made, case["output"], "slip" if tool.name == "remove_background" else "")


def main():
    args = arguments()
    reference = args.reference or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "reference")
    tally, stored = Tally(), read(reference, "pure_functions.json")
    texts(tally, stored)
    pictures(tally, stored["image_arithmetic"])
    with tempfile.TemporaryDirectory() as folder:
        splitting(tally, read(reference, "tool_arguments.json")["cases"], folder)
    for what, got, want in tally.unnamed:
        print("%s:\n  got  %r\n  want %r" % (what, str(got)[:400], str(want)[:400]))
    for reason, number in tally.reasons.items():
        print("%d x %s: %s" % (number, reason, REASONS[reason]))
    named = {"named_" + reason: number for reason, number in tally.reasons.items()}
    write_metrics(args.out, {**tally.counts, **named, "unnamed": len(tally.unnamed), "compared": sum(tally.counts.values())})


if __name__ == "__main__":
    main()
