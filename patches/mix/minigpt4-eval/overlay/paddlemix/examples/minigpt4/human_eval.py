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

"""
Human evaluation of runs of run_eval.py, by blind pairs.

    python human_eval.py make study --runs a=output/minigpt4_7b b=output/minigpt4_13b --task caption
    python human_eval.py serve study --images val2014          # the page; several raters at once
    python human_eval.py report study                          # agreement, ranking, votes.csv

`serve` needs `pip install "gradio>=6.31.0"`, and neither paddlepaddle nor the model.
"""

import argparse
import html
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from zeroshot.human import Study, agreement  # noqa: E402
from zeroshot.store import write_whole  # noqa: E402

WORDS = {
    "title": ("哪个回答更好？", "Which answer is better?"),
    "how": (
        "看图比较两个回答。键盘：1 左边更好，2 右边更好，0 一样好，u 撤销。可以随时离开，用同一个名字回来继续。",
        "Look at the picture and compare the two answers. Keys: 1 left is better, 2 right is better, 0 equally good, u takes the last "
        "vote back. Leave when you like, and come back under the same name.",
    ),
    "name": ("你的名字", "Your name"),
    "start": ("开始", "Start"),
    "left": ("左边更好 (1)", "Left is better (1)"),
    "right": ("右边更好 (2)", "Right is better (2)"),
    "tie": ("一样好 (0)", "Equally good (0)"),
    "undo": ("撤销 (u)", "Undo (u)"),
    "comment": ("备注（可不填）", "Comment (optional)"),
    "bad_name": ("名字由 1 到 40 个字母、数字、空格、点或连字符组成", "A name is 1 to 40 letters, digits, blanks, dots and hyphens"),
    "progress": ("已完成 {done} / {all}", "{done} of {all} done"),
    "done": ("全部完成，谢谢！已完成 {done} / {all}", "All done, thank you! {done} of {all} done"),
    "first": ("先输入名字", "Give your name first"),
    "stale": ("这一对已经投过票，没有再次计入", "This pair had been voted on; nothing was added"),
    "answer_left": ("左边", "Left"),
    "answer_right": ("右边", "Right"),
}
LANGUAGES = ("zh", "en")
# Keys act only outside of text fields, and only once a press.
KEYS = """
<script>
document.addEventListener("keydown", (event) => {
  const place = event.target;
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (place && (place.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(place.tagName))) return;
  const name = {"1": "left", "2": "right", "0": "tie", "u": "undo"}[event.key];
  const button = name && document.querySelector("#vote-" + name);
  if (button && !button.disabled) { event.preventDefault(); button.click(); }
});
</script>
"""


def say(language, key, **values):
    return WORDS[key][LANGUAGES.index(language)].format(**values)


def language_of(header):
    """zh where the browser asks for it first, else en."""
    return "zh" if (header or "").lower().lstrip().startswith("zh") else "en"


def page(study, images):
    """The page of a study as gradio.Blocks, and what `launch` needs beside it."""
    import gradio as gr

    tables = {name: {key: said[place] for key, said in WORDS.items()} for place, name in enumerate(LANGUAGES)}
    words = gr.I18n(**tables, **{"zh-CN": tables["zh"]})

    def answer(text):
        return f'<div class="answer">{html.escape(text) or "—"}</div>'  # as it is: no markup of a model acts here

    def show(rater, request, message=""):
        language = language_of(request.headers.get("accept-language"))
        pair, swapped, done = study.next(rater)
        text = say(language, "progress" if pair else "done", done=done, all=len(study.pairs))
        text = f"{message} — {text}" if message else text
        live = gr.update(interactive=pair is not None)
        buttons = [live, live, live, gr.update(interactive=done > 0)]
        if pair is None:
            return [rater, "", text, None, "", "", "", "", *buttons]
        one, two = pair["systems"]
        left, right = (two, one) if swapped else (one, two)
        texts = [answer(pair["texts"][name]) for name in (left, right)]
        token = study.token(rater, pair["key"])
        return [rater, token, text, os.path.join(images, pair["image"]), pair["question"], *texts, "", *buttons]

    def start(name, request: gr.Request):
        try:
            rater = study.rater(name)
        except ValueError:
            raise gr.Error(say(language_of(request.headers.get("accept-language")), "bad_name"))
        return show(rater, request)

    def vote(choice):
        def act(rater, token, comment, request: gr.Request):
            language = language_of(request.headers.get("accept-language"))
            if not rater:
                raise gr.Error(say(language, "first"))
            key = study.key(rater, token)
            taken = key is not None and study.vote(rater, key, choice, comment)
            return show(rater, request, "" if taken else say(language, "stale"))

        return act

    def undo(rater, request: gr.Request):
        if not rater:
            raise gr.Error(say(language_of(request.headers.get("accept-language")), "first"))
        study.take_back(rater)
        return show(rater, request)

    with gr.Blocks(title="PaddleMIX human evaluation", analytics_enabled=False) as blocks:
        gr.Markdown(words("title"), elem_id="title")
        gr.Markdown(words("how"))
        rater = gr.State("")
        with gr.Row():
            name = gr.Textbox(label=words("name"), elem_id="rater-name", max_length=40)
            begin = gr.Button(words("start"), elem_id="start")
        progress = gr.Markdown(elem_id="progress")
        question = gr.Markdown(elem_id="question")
        picture = gr.Image(interactive=False, show_label=False, elem_id="picture", height=320)
        with gr.Row():
            with gr.Column():
                gr.Markdown(words("answer_left"))
                left = gr.HTML(elem_id="answer-left")
            with gr.Column():
                gr.Markdown(words("answer_right"))
                right = gr.HTML(elem_id="answer-right")
        with gr.Row():
            buttons = {
                key: gr.Button(words(key), elem_id="vote-" + key, interactive=False)
                for key in ("left", "tie", "right", "undo")
            }
        comment = gr.Textbox(label=words("comment"), elem_id="comment", max_length=2000)
        # which pair the browser shows: a vote that comes late must not count for the next pair
        token = gr.Textbox(visible=False, elem_id="token")
        outputs = [rater, token, progress, picture, question, left, right, comment]
        outputs += [buttons[key] for key in ("left", "tie", "right", "undo")]
        gr.on([begin.click, name.submit], start, [name], outputs, show_progress="hidden")
        for key in ("left", "tie", "right"):
            buttons[key].click(vote(key), [rater, token, comment], outputs, show_progress="hidden")
        buttons["undo"].click(undo, [rater], outputs, show_progress="hidden")
    return blocks, words


def serve(args):
    """Starts the page and stays until it is ended."""
    study = Study(args.study)
    missing = [pair for pair in study.pairs if not os.path.isfile(os.path.join(args.images, pair["image"]))]
    if missing:
        raise ValueError(
            f"{os.path.join(args.images, missing[0]['image'])}: picture of id {missing[0]['id']} is missing, {len(missing)} of "
            f"{len(study.pairs)} are; next: give --images as for run_eval.py"
        )
    import gradio as gr

    blocks, words = page(study, os.path.abspath(args.images))
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched
    blocks.queue(default_concurrency_limit=None).launch(
        server_name=args.host,
        server_port=args.port,
        allowed_paths=[os.path.abspath(args.images)],
        i18n=words,
        head=KEYS,
        css=".answer {white-space: pre-wrap; overflow-wrap: anywhere; font-size: 1.1em; padding: 0.5em; border: 1px solid #8888}",
        theme=gr.themes.Default(**fonts),
        show_error=True,
        ssr_mode=False,
        footer_links=[],
    )


def make(args):
    runs = {}
    for word in args.runs:
        name, equal, path = word.partition("=")
        if not equal or not name or name in runs or "|" in name or name == "tie":
            raise ValueError(
                f"--runs {word}: is no NAME=DIR with a name of its own; next: --runs 7b=output/a 13b=output/b"
            )
        runs[name] = path
    study = Study.make(args.study, runs, args.task, args.prompt, args.parser, args.number, args.seed)
    print(f"{args.study}: {len(study.pairs)} pairs of {', '.join(study.systems)}")


def plain(value):
    """The value with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return None if value != value else value


def report(args):
    study = Study(args.study)
    made = agreement(study, args.seed)
    write_whole(os.path.join(args.study, "votes.csv"), "\ufeff" + study.table())
    text = json.dumps(plain(made), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(os.path.join(args.study, "agreement.json"), text + "\n")
    print("votes: " + (", ".join(f"{name} {number}" for name, number in made["raters"].items()) or "none"))
    for names, (kappa, shared) in made["cohen"].items():
        print(f"Cohen's kappa, {names}: {kappa:.4f} on {shared} pairs")
    print(f"Fleiss' kappa: {made['fleiss'][0]:.4f} on {made['fleiss'][1]} pairs")
    print(f"Krippendorff's alpha: {made['krippendorff']:.4f}; ties {100 * made['ties']:.1f} %")
    for name, (strength, low, high) in sorted(made["bradley_terry"].items(), key=lambda item: -item[1][0]):
        print(f"Bradley-Terry, {name}: {strength:+.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"{args.study}/votes.csv, {args.study}/agreement.json")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description="Human evaluation of runs of run_eval.py, by blind pairs.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("make", help="draw the pairs of a study")
    one.add_argument("study")
    one.add_argument("--runs", nargs="+", required=True, help="NAME=DIR, two or more; no rater sees the names")
    one.add_argument("--task", default="caption")
    one.add_argument("--prompt")
    one.add_argument("--parser")
    one.add_argument("--number", type=int, default=100, help="of rows")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(act=make)
    one = commands.add_parser("serve", help="the page")
    one.add_argument("study")
    one.add_argument("--images", required=True)
    one.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the whole network")
    one.add_argument("--port", type=int, default=7860)
    one.set_defaults(act=serve)
    one = commands.add_parser("report", help="agreement, ranking, CSV")
    one.add_argument("study")
    one.add_argument("--seed", type=int, default=0)
    one.set_defaults(act=report)
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    try:
        args.act(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
