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
"""Auto label as a web page: images in, polygons out, as JSON files that labelme opens.

    python applications/gradio/gradio_autolable.py

README.md says what to install and what is taken.
"""

import os

from demo import results, words
from demo.interface import examples, sections, serve, table, uploaded_files, uploaded_image, word
from demo.uploads import Upload, check_image, check_number, check_prompt, gather
from demo.words import Refused

import gradio as gr

TITLE = "PaddleMIX Auto Label"


def options(page, labels, box_threshold, text_threshold, tolerance, min_area, holes, embed):
    """The inputs that one image and many images have in common, checked."""
    return {
        "labels": check_prompt(labels, page.limits, required=False),
        "box_threshold": check_number("box_threshold", box_threshold, 0.01, 1.0, float),
        "text_threshold": check_number("text_threshold", text_threshold, 0.01, 1.0, float),
        "tolerance": check_number("tolerance", tolerance, 0.0, 100.0, float),
        "min_area": check_number("min_area", min_area, 1, 1000000),
        "holes": holes if holes == "cut" else "label",
        "embed": bool(embed),
        "megapixels": page.limits.megapixels,
    }


def option_inputs(page, tab):
    """The components of `options` but the last, in its order."""
    labels = gr.Textbox(label=word("labels"), info=word("labels_info"), elem_id=tab + "-labels", lines=2)
    with gr.Row():
        box = gr.Slider(0.01, 1.0, value=0.3, step=0.01, label=word("box_threshold"), elem_id=tab + "-box")
        text = gr.Slider(0.01, 1.0, value=0.25, step=0.01, label=word("text_threshold"), elem_id=tab + "-text")
    with gr.Row():
        tolerance = gr.Slider(0.0, 10.0, value=1.0, step=0.5, label=word("tolerance"))
        min_area = gr.Number(value=16, precision=0, label=word("min_area"))
    holes = gr.Radio(["label", "cut"], value="label", label=word("holes"), elem_id=tab + "-holes")
    page.localized.append(
        (
            holes,
            lambda language: gr.update(
                choices=[(words.say(language, "holes_" + way), way) for way in ("label", "cut")]
            ),
        )
    )
    return labels, box, text, tolerance, min_area, holes


def summary(language, made, left_out):
    text = words.say(language, "labelled", images=made["images"], shapes=len(made["rows"]))
    if left_out:
        text += words.say(language, "left_out", count=len(left_out))
    return text


def single(page, pictures):
    with gr.Row():
        with gr.Column():
            image = uploaded_image(elem_id="single-image")
            labels, *others = option_inputs(page, "single")
            embed = gr.Checkbox(value=True, label=word("embed"))
            run, cancel, status = page.buttons("single")
        with gr.Column():
            preview = gr.Image(label=word("preview"), interactive=False, format="png", elem_id="single-preview")
            rows = table(page, "shapes")
            download = gr.File(label=word("download"), elem_id="single-download")
    rows_of_examples = [[pictures["rings"], "ring, box"], [pictures["house"], "house, roof"]]
    examples(rows_of_examples, [image, labels])

    def prepare(place, chosen, *values):
        if chosen is None:
            raise Refused("no_image")
        upload = Upload(name=chosen[1], path=chosen[0])
        given = options(page, *values)
        check_image(upload, page.limits)
        return {**given, "uploads": [(upload.name, upload.path)]}

    def present(language, inputs, outputs, place):
        made = results.collect(place, as_zip=False)
        return (made["previews"][0][0], made["rows"], made["file"]), summary(language, made, outputs["left_out"])

    inputs = [image, labels, *others, embed]
    page.wire("single", run, cancel, inputs, [preview, rows, download], status, prepare, present)


def batch(page):
    with gr.Row():
        with gr.Column():
            files = uploaded_files(label=word("files"), file_count="multiple", elem_id="batch-files")
            directory = uploaded_files(label=word("directory"), file_count="directory", elem_id="batch-directory")
            labels, *others = option_inputs(page, "batch")
            embed = gr.Checkbox(value=False, label=word("embed"))
            run, cancel, status = page.buttons("batch")
        with gr.Column():
            preview = gr.Gallery(label=word("preview"), interactive=False, format="png", elem_id="batch-preview")
            rows = table(page, "shapes")
            report = table(page, "report")
            download = gr.File(label=word("download"), elem_id="batch-download")

    def prepare(place, chosen, inside, *values):
        given = options(page, *values)
        uploads, left_out = gather([*chosen, *inside], os.path.join(place, "unpacked"), page.limits)
        pairs = [(upload.name, upload.path) for upload in uploads]
        refused = [(name, reason.key, reason.values) for name, reason in left_out]
        return {**given, "uploads": pairs, "left_out": refused}

    def shown(language, made, left_out):
        reasons = [[name, words.say(language, key, **values)] for name, key, values in left_out]
        return made["previews"], made["rows"], reasons, made["file"]

    def present(language, inputs, outputs, place):
        made, left_out = results.collect(place, as_zip=True), [*inputs["left_out"], *outputs["left_out"]]
        return shown(language, made, left_out), summary(language, made, left_out)

    def keep(language, inputs, place):
        made = results.collect(place, as_zip=True)
        if made is None:
            return None
        said = words.say(language, "kept", images=made["images"], total=len(inputs["uploads"]))
        return shown(language, made, inputs["left_out"]), said

    inputs = [files, directory, labels, *others, embed]
    page.wire("batch", run, cancel, inputs, [preview, rows, report, download], status, prepare, present, keep)


def build(page, pictures):
    gr.Markdown(word("autolabel_title"))
    sections(page, ["single", "batch"], lambda name: single(page, pictures) if name == "single" else batch(page))


def main(argv=None, command=None):
    serve(build, "autolabel", TITLE, argv, command)


if __name__ == "__main__":
    main()
