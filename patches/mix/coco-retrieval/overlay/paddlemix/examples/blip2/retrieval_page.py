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
A page for search: pictures for words; for a picture, the pictures that are like it and the captions that fit.

    pip install "gradio>=6.31.0"
    python paddlemix/examples/blip2/retrieval_page.py --model output/blip2-coco --index photos.index --port 7860

The model runs in a process of its own (`retrieval_search.py answer`). Where gradio stands in another environment than PaddleMIX (their
requirements differ), `--worker-python` names the interpreter of PaddleMIX.
"""

import argparse
import atexit
import html
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from PIL import Image

import gradio as gr

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "retrieval_search.py")
MOST_PIXELS, MOST_LETTERS = 36_000_000, 2000
WORDS = {
    "title": ("# Search of pictures", "# 图片检索"),
    "words": ("Words", "文字"),
    "picture": ("Picture", "图片"),
    "how_many": ("How many", "数量"),
    "run_words": ("Search by words", "以文搜图"),
    "run_picture": ("Search by picture", "以图搜索"),
    "said": ("Status", "状态"),
    "found": ("Pictures, best first", "图片，最佳在前"),
    "captions": ("Captions that fit, best first", "匹配的文字，最佳在前"),
    "ready": ("Ready: {} pictures, {} captions.", "就绪：{} 张图片，{} 条文字。"),
    "done": ("Done: the best {} of {} pictures.", "完成：{1} 张图片中最佳的 {0} 张。"),
    "cut": (" The words are long: only their beginning was read.", " 文字过长：仅使用了开头部分。"),
    "gone": (" Left out, cannot be read: {}. Make the index again.", " 已略过无法读取的文件：{}。请重新建立索引。"),
    "no_words": ("There are no words: write some first.", "没有文字：请先输入。"),
    "no_picture": ("There is no picture: upload one first.", "没有图片：请先上传。"),
    "broken": ("The file is not a picture that can be read.", "该文件不是可读取的图片。"),
    "large": ("The picture has more than {:.0f} megapixels.", "图片超过 {:.0f} 百万像素。"),
    "failed": ("The model could not answer: {}", "模型未能回答：{}"),
    "died": ("its process has ended; the next search starts it again", "模型进程已结束，下次检索将重新启动"),
}


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


def make_room(folder, most=100):
    """A directory for one answer; of more than `most` the oldest are removed."""
    runs = sorted((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getmtime)
    for old in runs[: max(len(runs) - most + 1, 0)]:
        shutil.rmtree(old, ignore_errors=True)
    return tempfile.mkdtemp(dir=folder)


def fault_of(path):
    """(key, values) of what is wrong with an uploaded picture, or None."""
    if not path:
        return "no_picture", ()
    try:
        with Image.open(path) as image:
            large = image.width * image.height > MOST_PIXELS
            if not large:
                image.load()
    except Image.DecompressionBombError:
        large = True
    except (OSError, SyntaxError, ValueError):
        return "broken", ()
    return ("large", (MOST_PIXELS / 1e6,)) if large else None


def build(worker, folder, facts):
    """The page as gradio.Blocks, and its words."""
    english, chinese = ({key: words[number] for key, words in WORDS.items()} for number in range(2))
    i18n = gr.I18n(en=english, zh=chinese, **{"zh-CN": chinese})

    def search(asked, number, language):
        """(sentence, pictures with their captions, captions as HTML)."""
        made = worker.ask({**asked, "number": int(number), "folder": make_room(folder)})
        if "error" in made:
            reason = say(language, "died") if made["error"] is None else made["error"]
            return say(language, "failed", reason), [], ""
        said = say(language, "done", len(made["found"]), facts["pictures"])
        said += say(language, "cut") if made["cut"] else ""
        said += say(language, "gone", ", ".join(made["gone"])) if made["gone"] else ""
        rows = "".join(f"<li>{html.escape(text)} — {score:.3f}</li>" for text, score in made["captions"])
        return said, [(path, f"{name} — {score:.3f}") for path, name, score in made["found"]], f"<ol>{rows}</ol>"

    def by_words(words, number, request: gr.Request):
        language = language_of(request)
        if not (words or "").strip():
            return say(language, "no_words"), []
        return search({"words": words}, number, language)[:2]

    def by_picture(path, number, request: gr.Request):
        language, fault = language_of(request), fault_of(path)
        if fault:
            return say(language, fault[0], *fault[1]), [], ""
        return search({"picture": path}, number, language)

    def greet(request: gr.Request):
        return [say(language_of(request), "ready", facts["pictures"], facts["captions"])] * 2

    def gallery(name):
        return gr.Gallery(
            label=i18n("found"), elem_id=name, columns=3, object_fit="contain", height="auto", interactive=False
        )

    with gr.Blocks(title="BLIP-2", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(i18n("title"))
        number = gr.Slider(1, 50, 9, step=1, label=i18n("how_many"), elem_id="number")
        with gr.Row():
            with gr.Column():
                words = gr.Textbox(label=i18n("words"), elem_id="words", max_length=MOST_LETTERS)
                run_words = gr.Button(i18n("run_words"), variant="primary", elem_id="words-run")
                words_status = gr.Textbox(label=i18n("said"), interactive=False, elem_id="words-status")
                words_found = gallery("words-found")
            with gr.Column():
                picture = gr.File(label=i18n("picture"), elem_id="picture", file_types=["image"])
                run_picture = gr.Button(i18n("run_picture"), variant="primary", elem_id="picture-run")
                picture_status = gr.Textbox(label=i18n("said"), interactive=False, elem_id="picture-status")
                picture_found = gallery("picture-found")
                gr.Markdown(i18n("captions"), visible=bool(facts["captions"]))
                captions = gr.HTML(elem_id="picture-captions")
        outputs = [picture_status, picture_found, captions]
        gr.on([run_words.click, words.submit], by_words, [words, number], [words_status, words_found])
        run_picture.click(by_picture, [picture, number], outputs)
        page.load(greet, None, [words_status, picture_status])
    return page, i18n


def main(argv=None):
    parser = argparse.ArgumentParser(description="A page for search of pictures.")
    parser.add_argument("--model", required=True, help="directory of convert_retrieval.py")
    parser.add_argument("--index", required=True, help="of retrieval_search.py embed")
    parser.add_argument("--captions", help="UTF-8 file with a caption a line, which a picture is compared with")
    parser.add_argument("--max_length", type=int, default=35)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the whole network")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--worker-python", default=sys.executable, help="the interpreter of PaddleMIX")
    args = parser.parse_args(argv)
    words = [args.worker_python, PROGRAM, "answer", "--model", args.model, "--index", args.index]
    words += ["--max_length", str(args.max_length), *(["--captions", args.captions] if args.captions else [])]
    worker = Worker(words)
    facts = worker.ask({})
    if "error" in facts:
        print("error: the model's process ended; next: see what it said above", file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="blip2_search_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that what is left is removed
    page, i18n = build(worker, folder, facts)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched
    page.queue(max_size=32).launch(
        server_name=args.host,
        server_port=args.port,
        i18n=i18n,
        allowed_paths=[folder],
        theme=gr.themes.Default(**fonts),
        ssr_mode=False,
        footer_links=[],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
