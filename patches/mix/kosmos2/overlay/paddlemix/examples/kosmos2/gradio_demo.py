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
A page for Kosmos-2: an image, a task, the answer with its boxes; a phrase that is clicked shows its box alone.

    pip install gradio==6.31.0
    python paddlemix/examples/kosmos2/gradio_demo.py --model output/kosmos-2 --port 7860

The model runs in a process of its own (demo_worker.py). Where gradio stands in another environment than PaddleMIX (their requirements
differ), `--worker-python` names the interpreter of PaddleMIX.
"""

import argparse
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

import gradio as gr

HERE = os.path.dirname(os.path.abspath(__file__))
TASKS = ("caption", "detail", "grounding", "referring", "vqa")
WORDS = {
    "title": ("# Kosmos-2: text that points at places", "# Kosmos-2：指向图像位置的文本"),
    "image": ("Image", "图像"),
    "task": ("Task", "任务"),
    "text": ("Phrase or question (grounding, VQA)", "短语或问题（定位、问答）"),
    "x1": ("Box: left, 0 to 1 (referring)", "框：左，0 至 1（指代）"),
    "y1": ("Box: top", "框：上"),
    "x2": ("Box: right", "框：右"),
    "y2": ("Box: bottom", "框：下"),
    "run": ("Run", "运行"),
    "status": ("Status", "状态"),
    "answer": ("Answer: click a phrase to see its box", "回答：点击短语查看其框"),
    "picture": ("Boxes", "框"),
    "save_image": ("Image", "下载图像"),
    "save_json": ("JSON", "下载 JSON"),
    "caption": ("Caption", "图像描述"),
    "detail": ("Detailed caption", "详细描述"),
    "grounding": ("Grounding: where is it?", "定位：它在哪里？"),
    "referring": ("Referring: what is in the box?", "指代：框中是什么？"),
    "vqa": ("Visual question answering", "视觉问答"),
    "done": ("Done: {} phrases with boxes.", "完成：{} 个带框短语。"),
    "no_image": ("There is no image: upload one first.", "没有图像：请先上传。"),
    "failed": ("The model could not answer: {}", "模型未能回答：{}"),
    "died": ("the model's process has ended; the next run starts it again", "模型进程已结束，下次运行将重新启动"),
    "ready": ("Ready.", "就绪。"),
    "running": ("Running …", "运行中……"),
}

# Colours that can be read, and names for gradio's own parts that a screen reader would not find words for.
CSS = """
button.primary { background: #9a3412 !important; color: white !important; }
.info-text, #kosmos-answer .label { color: var(--body-text-color) !important; opacity: 1 !important; }
label > span, .block > label, .block label span { color: var(--body-text-color) !important; }
"""
SCRIPT = """
() => {
  const mend = () => document.querySelectorAll("#kosmos-picture button img, #kosmos-image button img").forEach((image) => {
    const label = image.closest(".block").querySelector("[data-testid=block-label]").innerText.trim();
    if (image.alt !== label) image.alt = label;
  });
  mend();
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true, attributeFilter: ["alt", "src"] });
}
"""


def say(language, key, *values):
    """A sentence in `en` or `zh`."""
    return WORDS[key][language == "zh"].format(*values)


def language_of(request):
    """`zh` for browsers that ask for Chinese first, else `en`."""
    return "zh" if (request.headers.get("accept-language") or "").lower().startswith("zh") else "en"


class Worker:
    """The model's process; requests wait for each other, and a process that has ended is started anew by the next one."""

    def __init__(self, words):
        self.words, self.process, self.lock = words, None, threading.Lock()
        atexit.register(self.close)

    def ask(self, request):
        """The answer; {"error": None} where the process ended instead."""
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                self.process.stdin.write(json.dumps(request) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            except OSError:
                line = ""
            return json.loads(line) if line else {"error": None}

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def marked(text, entities):
    """The text as pieces (words, number of its entity or None), and the number of the entity of each piece."""
    pieces, place = [], 0
    for number, (_, (start, end), _) in enumerate(entities):
        if start < place or end <= start:
            continue  # a box without a phrase has no words
        pieces += [(text[place:start], None)] * (start > place) + [(text[start:end], number)]
        place = end
    pieces += [(text[place:], None)] * (place < len(text))
    return [(words, None if number is None else str(number + 1)) for words, number in pieces], [n for _, n in pieces]


def make_room(folder, most=200):
    """A directory for one run; of more than `most` the oldest are removed."""
    runs = sorted((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getmtime)
    for old in runs[: max(len(runs) - most + 1, 0)]:
        shutil.rmtree(old, ignore_errors=True)
    return tempfile.mkdtemp(dir=folder)


def build(worker, folder):
    # the prefix keeps our keys apart from gradio's own, which has an "image" and a "status"
    english, chinese = ({"kosmos_" + key: words[n] for key, words in WORDS.items()} for n in range(2))
    translations = gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese})

    def i18n(key):
        return translations("kosmos_" + key)

    def run(image, task, text, x1, y1, x2, y2, request: gr.Request):
        language = language_of(request)
        nothing = (None, [], None, None, None)
        if image is None:
            yield (say(language, "no_image"), *nothing)
            return
        yield (say(language, "running"), *nothing)  # the same sentence twice would not be seen as a new one
        place = make_room(folder)
        kept = os.path.join(place, "image" + os.path.splitext(image)[1])
        shutil.copyfile(image, kept)
        asked = {"image": kept, "task": task, "text": text or "", "folder": place}
        if task == "referring":
            asked["box"] = [x1 or 0, y1 or 0, x2 or 0, y2 or 0]
        made = worker.ask(asked)
        if "error" in made:
            reason = say(language, "died") if made["error"] is None else made["error"]
            yield (say(language, "failed", reason), *nothing)
            return
        pieces, numbers = marked(made["text"], made["entities"])
        path = os.path.join(place, "answer.json")
        with open(path, "w", encoding="utf-8") as stream:
            json.dump({key: made[key] for key in ("text", "markup", "entities")}, stream, ensure_ascii=False, indent=1)
        state = {"image": kept, "entities": made["entities"], "folder": place, "numbers": numbers}
        yield say(language, "done", len(made["entities"])), state, pieces, made["picture"], made["picture"], path

    def point(state, event: gr.SelectData, request: gr.Request):
        number = state["numbers"][event.index] if state else None
        if number is None:
            return gr.update(), gr.update()
        asked = {key: state[key] for key in ("image", "entities", "folder")}
        made = worker.ask({**asked, "chosen": number})
        return made.get("picture"), say(language_of(request), "ready")

    def greet(request: gr.Request):
        language = language_of(request)
        return say(language, "ready"), gr.update(choices=[(say(language, task), task) for task in TASKS])

    with gr.Blocks(title="Kosmos-2", delete_cache=(3600, 3600)) as page:
        gr.Markdown(i18n("title"))
        state = gr.State()
        with gr.Row():
            with gr.Column():
                image = gr.Image(type="filepath", label=i18n("image"), elem_id="kosmos-image", sources=["upload"])
                choices = [(WORDS[name][0], name) for name in TASKS]
                task = gr.Radio(choices, value="caption", label=i18n("task"), elem_id="kosmos-task")
                text = gr.Textbox(label=i18n("text"), elem_id="kosmos-text")
                with gr.Row():
                    box = [
                        gr.Number(label=i18n(k), elem_id="kosmos-" + k, minimum=0, maximum=1, min_width=80)
                        for k in ("x1", "y1", "x2", "y2")
                    ]
                button = gr.Button(i18n("run"), variant="primary", elem_id="kosmos-run")
                status = gr.Textbox(label=i18n("status"), interactive=False, elem_id="kosmos-status")
            with gr.Column():
                answer = gr.HighlightedText(
                    label=i18n("answer"), elem_id="kosmos-answer", show_legend=False, combine_adjacent=False
                )
                picture = gr.Image(
                    label=i18n("picture"), interactive=False, elem_id="kosmos-picture", type="filepath", format="png"
                )
                save_image = gr.File(label=i18n("save_image"), elem_id="kosmos-save-image")
                save_json = gr.File(label=i18n("save_json"), elem_id="kosmos-save-json")
        button.click(run, [image, task, text, *box], [status, state, answer, picture, save_image, save_json])
        answer.select(point, [state], [picture, status])
        page.load(greet, None, [status, task])
    return page, translations


def main(argv=None):
    parser = argparse.ArgumentParser(description="A page for Kosmos-2.")
    parser.add_argument("--model", required=True, help="directory of weights and processor")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--font", help="file of a font, for letters that Pillow's own lacks")
    parser.add_argument("--worker-python", default=sys.executable, help="the interpreter of PaddleMIX")
    args = parser.parse_args(argv)
    words = [args.worker_python, os.path.join(HERE, "demo_worker.py"), "--model", args.model, "--dtype", args.dtype]
    folder = tempfile.mkdtemp(prefix="kosmos2_demo_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is left is removed
    page, translations = build(Worker(words + (["--font", args.font] if args.font else [])), folder)
    page.queue(max_size=32).launch(
        server_name=args.host,
        server_port=args.port,
        i18n=translations,
        allowed_paths=[folder],
        css=CSS,
        js=SCRIPT,
        footer_links=[],
        ssr_mode=False,
    )


if __name__ == "__main__":
    main()
