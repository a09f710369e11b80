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
"""What both pages share: words that follow the browser's language, the life of one run, examples, and the start of the server."""

import argparse
import os
import random
import shutil
import signal
import sys

from PIL import Image, ImageDraw

import gradio as gr

from . import words
from .engine import Engine, stopwatch
from .folders import ServerFolder
from .uploads import Limits
from .words import Refused

# gradio has words of its own under short keys, so ours get a prefix
_PREFIX = "paddlemix_"
_TRANSLATIONS = {
    language: {_PREFIX + key: text for key, text in words.table(language).items()} for language in words.LANGUAGES
}
TRANSLATIONS = gr.I18n(**_TRANSLATIONS, **{"zh-CN": _TRANSLATIONS["zh"]})
MOST_SEED = 2**31 - 1


def word(key):
    """A label that the browser shows in its own language."""
    return TRANSLATIONS(_PREFIX + key)


def uploaded_image(**options):
    """An image input that hands over the uploaded file as it is: gradio would open it before its size was looked at."""
    image = gr.Image(label=word("image"), sources=["upload", "clipboard"], height=320, **options)
    image.preprocess = lambda payload: None if payload is None else payload.path
    return image


class Page:
    """What the handlers of one page need."""

    def __init__(self, engine, folder, limits):
        self.engine, self.folder, self.limits = engine, folder, limits

    def handler(self, app, prepare, present, outputs):
        """The function behind a run button.

        Args:
            app (str): a name of the worker's table.
            prepare: (directory, *values of the inputs) -> inputs of the run; raises Refused.
            present: (language, inputs, outputs of the run) -> values of the output components and the last sentence.
            outputs (int): how many output components there are before the status.
        """

        def handle(request: gr.Request, progress=gr.Progress(), *values):
            language = words.language_of(request.headers.get("accept-language"))
            nothing, as_it_is = [None] * outputs, [gr.skip()] * outputs
            seconds, place, job = stopwatch(), self.folder.new(app), None
            try:
                inputs = prepare(place, *values)
                job = self.engine.submit((request.session_hash, app, place), app, inputs, place)
                # what is shown never belongs to another run than the one that goes on
                yield *nothing, words.say(language, "waiting", ahead=self.engine.ahead(job) or 0)
                for key, said, share in job.follow(self.engine):
                    text = words.say(language, key, **said)
                    progress(share or 0.0, desc=text)
                    yield *as_it_is, text
                if job.problem is not None:
                    raise job.problem
                shown, text = present(language, inputs, job.outputs)
                if text is None:
                    key = "done" if inputs.get("seed") is None else "done_seed"
                    text = words.say(language, key, seconds=seconds(), seed=inputs.get("seed"))
                yield *shown, text
            except Refused as refused:
                if refused.key != "cancelled":
                    gr.Warning(refused.text(language))
                yield *nothing, refused.text(language)
            finally:
                if job is not None and not job.ended.is_set():  # the browser has gone
                    self.engine.cancel(lambda owner: owner == job.owner)
                shutil.rmtree(place, ignore_errors=True)

        return handle

    def buttons(self, app):
        """(run, cancel, status) of one tab."""
        with gr.Row():
            run = gr.Button(word("run"), variant="primary", elem_id=app + "-run")
            cancel = gr.Button(word("cancel"), elem_id=app + "-cancel")
        # the sentence lies in an element of its own: it is what a reader looks for when something went wrong
        status = gr.Textbox(label=word("status"), value=None, interactive=False, elem_id=app + "-status", lines=2)
        return run, cancel, status

    def wire(self, app, run, cancel, inputs, outputs, status, prepare, present):
        """Connects the buttons of a tab. The line of runs is the engine's, so gradio holds none back."""
        handle = self.handler(app, prepare, present, len(outputs))
        run.click(handle, inputs, [*outputs, status], concurrency_limit=None, api_name=app, show_progress_on=[status])

        def stop(request: gr.Request):
            self.engine.cancel(lambda owner: owner[:2] == (request.session_hash, app))

        cancel.click(stop, None, None, queue=False, show_progress="hidden", api_visibility="private")

    def forget(self, request: gr.Request):
        """A browser window was closed: nobody waits for its runs."""
        self.engine.cancel(lambda owner: owner[0] == request.session_hash)


def headers(key):
    """Heads of a table; they are fixed when the page is made, so they say both languages."""
    return [" ".join(pair) for pair in zip(*(text.split(",") for text in words.WORDS[key]))]


def examples(rows, inputs, key):
    """Rows to click on; `key` names the heads of the table."""
    gr.Examples(rows, inputs, label=word("examples")).dataset.headers = headers(key)


def seed_of(value):
    """A seed within range; -1 gives a random one, which the page then shows."""
    return random.randint(0, MOST_SEED) if value == -1 else value


def example_images(folder):
    """Two drawn pictures: the repository holds no images, and a photograph of a user is better than any of ours.

    Returns:
        dict: {"rings": path, "house": path}
    """
    directory = folder.new("examples")
    rings = Image.new("RGB", (320, 240), "#dde6ee")
    pen = ImageDraw.Draw(rings)
    pen.ellipse((30, 50, 170, 190), fill="#c0392b")
    pen.ellipse((75, 95, 125, 145), fill="#dde6ee")
    pen.rectangle((200, 40, 260, 90), fill="#2e6fd0")
    pen.rectangle((220, 140, 300, 210), fill="#2e6fd0")
    house = Image.new("RGB", (320, 240), "#a7d3f2")
    pen = ImageDraw.Draw(house)
    pen.rectangle((0, 170, 320, 240), fill="#6fae52")
    pen.rectangle((100, 110, 220, 200), fill="#e8c07d")
    pen.polygon([(85, 112), (160, 50), (235, 112)], fill="#9c3b2e")
    pen.rectangle((145, 150, 175, 200), fill="#5b3a1e")
    paths = {"rings": os.path.join(directory, "rings.png"), "house": os.path.join(directory, "house.png")}
    rings.save(paths["rings"])
    house.save(paths["house"])
    return paths


def serve(build, applications, title, argv=None, command=None):
    """Starts a page and stays until it is ended; what it wrote is removed then.

    Args:
        build: (Page, examples) -> None, called inside of gr.Blocks.
        applications (str): the worker's table.
        command (list[str]): what to start instead of worker.py.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 serves the whole network")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--worker-python", default=sys.executable, help="Python that has paddlepaddle and PaddleMIX")
    parser.add_argument("--max-megapixels", type=float, default=Limits.megapixels, help="larger images are refused")
    parser.add_argument("--max-runs", type=int, default=32, help="runs that may wait; one more is told to come later")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds until a cancelled run's process is ended")
    args = parser.parse_args(argv)

    folder = ServerFolder()
    engine = Engine(args.worker_python, applications, most=args.max_runs, grace=args.grace, command=command)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        page = Page(engine, folder, Limits(megapixels=args.max_megapixels))
        # results are removed from gradio's own folder after a day
        with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
            build(page, example_images(folder))
            blocks.unload(page.forget)
        blocks.queue(max_size=None, default_concurrency_limit=None)
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched
        blocks.launch(
            server_name=args.host,
            server_port=args.port,
            i18n=TRANSLATIONS,
            theme=gr.themes.Default(**fonts),
            max_file_size="%dmb" % page.limits.unpacked_mb,
            show_error=True,
            ssr_mode=False,
            footer_links=[],
        )
    finally:
        engine.close()
        folder.close()
