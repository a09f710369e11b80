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

from . import tables, words
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


# run, cancel and status stay in sight however long the form is; tables scroll sideways rather than break words; wide things shrink
CSS = """
.actions { position: sticky; bottom: 0; z-index: 20; background: var(--body-background-fill); padding: 6px 0; }
.actions textarea { min-height: 3.2em; }
.pages fieldset { border: 0; } .pages .wrap { flex-wrap: wrap; }
.or, .empty, .empty *, .info-text, .min_value, .max_value { color: var(--body-text-color) !important; opacity: 1 !important; }
button.primary { background: #9a3412 !important; color: white !important; }
button.primary:disabled { background: #57534e !important; opacity: 1 !important; }
.icon-button .upload-container[hidden] { display: none; }
.rows { overflow: auto; max-height: 480px; }
.rows table { border-collapse: collapse; width: max-content; min-width: 100%; }
.rows caption { text-align: left; padding: 4px 0; }
.rows th, .rows td { text-align: left; padding: 4px 8px; border: 1px solid var(--border-color-primary); white-space: nowrap; }
"""


# gradio's own parts, mended for readers who use a screen reader or the keyboard: what is empty is a picture, a result is called by its
# label, a thumbnail by its caption and not twice, and the button that adds files holds no other one
SCRIPT = """
() => {
  const each = (chosen, work) => document.querySelectorAll(chosen).forEach(work);
  const name = (part, key, text) => part.getAttribute(key) === text || part.setAttribute(key, text);
  const mend = () => {
    each(".empty[aria-label]:not([role])", (part) => name(part, "role", "img"));
    each(".image-container > button img", (part) => {
      name(part, "alt", part.closest(".block").querySelector("[data-testid=block-label]").innerText.trim());
    });
    each(".thumbnail-item:has(.caption-label)", (part) => {
      name(part.querySelector("img"), "alt", "");
      name(part, "aria-label", part.querySelector(".caption-label").innerText);
    });
    each(".icon-button .upload-container", (part) => {
      const outer = part.closest(".icon-button");
      name(outer, "aria-label", part.getAttribute("aria-label"));
      name(outer, "title", part.getAttribute("aria-label"));
      if (part.hidden) return;
      part.hidden = true;
      outer.addEventListener("click", (event) => part.contains(event.target) || part.click());
    });
  };
  mend();
  const what = { childList: true, subtree: true, characterData: true, attributeFilter: ["alt", "aria-label"] };
  new MutationObserver(mend).observe(document.body, what);
}
"""


def uploaded_image(**options):
    """An image input that hands over the uploaded file as it is, (path, its user's name): gradio would open it before its size was looked
    at, and its path lacks letters of the name, such as a question mark."""
    image = gr.Image(label=word("image"), sources=["upload", "clipboard"], height=320, **options)
    image.preprocess = lambda payload: None if payload is None else _named(payload)
    return image


def uploaded_files(**options):
    """A file input that hands over pairs (path, its user's name)."""
    files = gr.File(**options)

    def preprocess(payload):
        if payload is None:
            return []
        payload = getattr(payload, "root", payload)
        return [_named(one) for one in (payload if isinstance(payload, (list, tuple)) else [payload])]

    files.preprocess = preprocess
    return files


def _named(payload):
    name = (payload.orig_name or payload.path).replace("\\", "/").rpartition("/")[2]
    return payload.path, "".join(letter for letter in name if ord(letter) > 31) or os.path.basename(payload.path)


class Page:
    """What the handlers of one page need."""

    def __init__(self, engine, folder, limits):
        self.engine, self.folder, self.limits = engine, folder, limits
        self.tables = {}  # {id of a table: key of its title}
        self.localized = []  # (component, language -> what it shows in that language)

    def handler(self, app, prepare, present, components, keep):
        """The function behind a run button.

        Args:
            app (str): a name of the worker's table.
            prepare: (directory, *values of the inputs) -> inputs of the run; raises Refused.
            present: (language, inputs, outputs of the run, directory) -> values of the output components and the last sentence.
            components (list): the output components before the status.
            keep: (language, inputs, directory) -> the same of a run that did not come to its end, or None where nothing is finished.
        """

        def handle(request: gr.Request, progress=gr.Progress(), *values):
            language = words.language_of(request.headers.get("accept-language"))
            as_it_is = [gr.skip()] * len(components)

            def dressed(values):
                """Rows become tables in the reader's language."""
                keys = [self.tables.get(component._id) for component in components]
                return [value if key is None else rows_of(language, key, value) for key, value in zip(keys, values)]

            nothing = dressed([None] * len(components))
            seconds, place, job = stopwatch(), self.folder.new(app), None

            def say(state, text, share=None):
                """Status and the two buttons; a bar of text, which a reader can read, too."""
                bar = (
                    ""
                    if share is None
                    else " %s %d %%" % ("█" * int(20 * share) + "░" * (20 - int(20 * share)), 100 * share)
                )
                running = state == "running"
                run = gr.update(interactive=not running, value=words.say(language, "running" if running else "run"))
                line = "[%s]%s %s" % (words.say(language, "state_" + state), bar, text)
                return line, run, gr.update(interactive=running)

            try:
                inputs = prepare(place, *values)
                job = self.engine.submit((request.session_hash, app, place), app, inputs, place)
                # what is shown never belongs to another run than the one that goes on
                yield *nothing, *say("running", words.say(language, "waiting", ahead=self.engine.ahead(job) or 0))
                for key, said, share in job.follow(self.engine):
                    text = words.say(language, key, **said)
                    if "part" in said:
                        text = words.say(language, "part", **said) + text
                    progress(share or 0.0, desc=text)
                    yield *as_it_is, *say("running", text, share)
                if job.problem is not None:
                    raise job.problem
                shown, text = present(language, inputs, job.outputs, place)
                if text is None:
                    key = "done" if inputs.get("seed") is None else "done_seed"
                    text = words.say(language, key, seconds=seconds(), seed=inputs.get("seed"))
                for key, said in job.outputs.get("notes", []):
                    text += words.say(language, key, **said)
                yield *dressed(shown), *say("done", text)
            except Refused as refused:
                text, kept = refused.text(language), None
                if keep is not None and job is not None:
                    kept = keep(language, inputs, place)
                if kept is not None:
                    shown, said = kept
                    text = (words.say(language, "stopped") if refused.key == "cancelled" else text) + said
                if refused.key != "cancelled":
                    gr.Warning(text)
                state = "stopped" if refused.key == "cancelled" else "failed"
                yield *(nothing if kept is None else dressed(shown)), *say(state, text)
            finally:
                if job is not None and not job.ended.is_set():  # the browser has gone
                    self.engine.cancel(lambda owner: owner == job.owner)
                shutil.rmtree(place, ignore_errors=True)

        return handle

    def buttons(self, app):
        """(run, cancel, status) of one tab."""
        with gr.Column(elem_classes="actions"):
            with gr.Row():
                run = gr.Button(word("run"), variant="primary", elem_id=app + "-run")
                cancel = gr.Button(word("cancel"), elem_id=app + "-cancel", interactive=False)
            # the sentence lies in an element of its own: it is what a reader looks for when something went wrong
            status = gr.Textbox(label=word("status"), value=None, interactive=False, elem_id=app + "-status", lines=2)
        self.localized.append((status, lambda language: "[%s]" % words.say(language, "state_idle")))
        return run, cancel, status

    def wire(self, app, run, cancel, inputs, outputs, status, prepare, present, keep=None):
        """Connects the buttons of a tab. The line of runs is the engine's, so gradio holds none back."""
        handle = self.handler(app, prepare, present, outputs, keep)
        to = [*outputs, status, run, cancel]
        run.click(handle, inputs, to, concurrency_limit=None, api_name=app, show_progress_on=[status])

        def stop(request: gr.Request):
            self.engine.cancel(lambda owner: owner[:2] == (request.session_hash, app))

        cancel.click(stop, None, None, queue=False, show_progress="hidden", api_visibility="private")

    def speak(self, request: gr.Request):
        """What gradio's own translation does not reach, in the language of the browser."""
        language = words.language_of(request.headers.get("accept-language"))
        return [update(language) for _, update in self.localized]

    def forget(self, request: gr.Request):
        """A browser window was closed: nobody waits for its runs."""
        self.engine.cancel(lambda owner: owner[0] == request.session_hash)


def heads(language, key):
    """Heads of a table in one language."""
    return words.say(language, key).split(",")


def table(page, key):
    """A table that is given rows; its title is the word `key`, its heads the words `key`_heads."""
    made = gr.HTML(rows_of("en", key, None), elem_id=key + "-%d" % len(page.tables))
    page.tables[made._id] = key
    page.localized.append((made, lambda language: rows_of(language, key, None)))
    return made


def rows_of(language, key, rows):
    """What a table shows."""
    title, more = words.say(language, key), words.table(language)["more_rows"]
    return tables.table(title, heads(language, key + "_heads"), rows, more)


def examples(rows, inputs):
    """A button for each row, which fills the inputs: the rows of gradio's own table are out of the keyboard's reach.

    Args:
        rows (list[list[str]]): for each input a text, or the path of an image.
        inputs (list): components.
    """

    def filler(row):
        return lambda: row if len(row) > 1 else row[0]

    gr.Markdown(word("examples"))
    with gr.Row():
        for row in rows:
            image = next((value for value in row if os.path.isfile(value)), None)
            button = gr.Button(row[-1], icon=image, size="sm", elem_classes="example")
            button.click(filler(row), None, inputs, queue=False, show_progress="hidden", api_visibility="private")


def sections(page, names, make):
    """The parts of a page, of which one is shown: a choice that wraps on a narrow screen, where tabs hide behind "…".

    Args:
        names (list): keys of WORDS.
        make: (name) fills one part.
    """
    choice = gr.Radio(
        names, value=names[0], show_label=False, label="", elem_id="sections", elem_classes="pages", container=False
    )
    page.localized.append(
        (choice, lambda language: gr.update(choices=[(words.say(language, name), name) for name in names]))
    )
    parts = []
    for name in names:
        with gr.Column(visible=name == names[0], elem_id="section-" + name) as part:
            make(name)
        parts.append(part)
    choice.change(
        lambda chosen: [gr.update(visible=name == chosen) for name in names],
        choice,
        parts,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )


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
            blocks.load(page.speak, None, [component for component, _ in page.localized], api_visibility="private")
            blocks.unload(page.forget)
        blocks.queue(max_size=None, default_concurrency_limit=None)
        fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # nothing is fetched
        blocks.launch(
            server_name=args.host,
            server_port=args.port,
            i18n=TRANSLATIONS,
            theme=gr.themes.Default(**fonts),
            css=CSS,
            js=SCRIPT,
            max_file_size="%dmb" % page.limits.unpacked_mb,
            show_error=True,
            ssr_mode=False,
            footer_links=[],
        )
    finally:
        engine.close()
        folder.close()
