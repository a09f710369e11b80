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
"""Four applications of AppFlow as a web page: upscaling, image to image, dual guided generation, text to video.

    python applications/gradio/gradio_text2image.py

README.md says what to install and what is taken.
"""

import math
import os

from demo.interface import MOST_SEED, examples, sections, seed_of, serve, uploaded_image, word
from demo.uploads import Upload, check_number, check_prompt, read_image
from demo.words import Refused

import gradio as gr

TITLE = "PaddleMIX Text to Image"
# name: (kind, least, most, value at the start, step of the slider); the names are words of demo/words.py, too
NUMBERS = {
    "steps": (int, 1, 200, 50, 1),
    "guidance": (float, 0.0, 30.0, 7.5, 0.5),
    "noise_level": (int, 0, 350, 20, 1),
    "strength": (float, 0.05, 1.0, 0.75, 0.05),
    "text_strength": (float, 0.0, 1.0, 0.75, 0.05),
    "longest_side": (int, 64, 512, 128, 8),
    "width": (int, 64, 1024, 512, 8),
    "height": (int, 64, 1024, 512, 8),
    "frames": (int, 2, 64, 16, 1),
    "fps": (int, 1, 30, 8, 1),
    "seed": (int, -1, MOST_SEED, -1, None),
}
STARTS = {
    "upscaling": {"steps": 75, "guidance": 9.0},
    "text2video": {"steps": 25, "guidance": 9.0, "width": 256, "height": 256},
}
# what each tab takes besides prompt, steps, guidance and seed. The pipeline of dual guided generation has no negative prompt.
TABS = {
    "upscaling": ("image", "negative_prompt", "longest_side", "noise_level"),
    "image2image": ("image", "negative_prompt", "width", "height", "strength"),
    "dual_guided": ("image", "width", "height", "text_strength"),
    "text2video": ("negative_prompt", "width", "height", "frames", "fps"),
}
PROMPTS = {
    "upscaling": ["a small house on green grass"],
    "image2image": ["a watercolour of a house in the mountains"],
    "dual_guided": ["a red house in the sun"],
    "text2video": ["An astronaut riding a horse."],
}


def checked(page, tab, place, values):
    """The inputs of a run.

    Args:
        values (dict): {name: what its component holds}, in the order of the components.

    Returns:
        dict: the same with numbers in range, sides in multiples of 8, and the image as an upright RGB file in `place`.
    """
    given = {"prompt": check_prompt(values["prompt"], page.limits)}
    if "negative_prompt" in values:
        given["negative_prompt"] = check_prompt(values["negative_prompt"], page.limits, required=False)
    for name in values:
        if name in NUMBERS:
            kind, low, high, _, step = NUMBERS[name]
            number = check_number(name, values[name], low, high, kind)
            given[name] = number // 8 * 8 if step == 8 else number
    if "strength" in given and int(given["steps"] * given["strength"]) < 1:
        least = math.ceil(1 / given["strength"])
        raise Refused("few_steps", steps=given["steps"], strength=given["strength"], least=least)
    given["seed"] = seed_of(given["seed"])
    if "image" in values:
        if values["image"] is None:
            raise Refused("no_image")
        path, name = values["image"]
        image = read_image(Upload(name, path), page.limits)
        given["image"] = os.path.join(place, "input.png")
        image.save(given["image"])
    return given


def tab(page, name, pictures):
    takes = TABS[name]
    inputs = {}
    with gr.Row():
        with gr.Column():
            if "image" in takes:
                inputs["image"] = uploaded_image(elem_id=name + "-image")
            inputs["prompt"] = gr.Textbox(label=word("prompt"), lines=3, elem_id=name + "-prompt")
            if "negative_prompt" in takes:
                inputs["negative_prompt"] = gr.Textbox(
                    label=word("negative_prompt"), lines=2, elem_id=name + "-negative"
                )
            numbers = [each for each in takes if each in NUMBERS] + ["steps", "guidance"]
            for first in range(0, len(numbers), 2):
                with gr.Row():
                    for each in numbers[first : first + 2]:
                        _, low, high, value, step = NUMBERS[each]
                        value = STARTS.get(name, {}).get(each, value)
                        component = gr.Slider(
                            low, high, value=value, step=step, label=word(each), elem_id=name + "-" + each
                        )
                        inputs[each] = component
            inputs["seed"] = gr.Number(value=-1, precision=0, label=word("seed"), elem_id=name + "-seed")
            run, cancel, status = page.buttons(name)
        with gr.Column():
            if name == "text2video":
                video = gr.Video(
                    label=word("video"), interactive=False, autoplay=True, loop=True, elem_id=name + "-result"
                )
                # gradio would turn an animation into a still picture of another format
                gif = gr.Image(
                    label=word("gif"), interactive=False, format="gif", type="filepath", elem_id=name + "-gif"
                )
                download = gr.File(label=word("download"), file_count="multiple", elem_id=name + "-download")
                outputs = [video, gif, download]
            else:
                result = gr.Image(label=word("result"), interactive=False, format="png", elem_id=name + "-result")
                download = gr.File(label=word("download"), elem_id=name + "-download")
                outputs = [result, download]
    filled = [inputs[each] for each in ("image", "prompt") if each in inputs]
    shown = [pictures["house"]] if "image" in takes else []
    examples([[*shown, prompt] for prompt in PROMPTS[name]], filled)

    def prepare(place, *values):
        return checked(page, name, place, dict(zip(inputs, values)))

    def present(language, given, made, place):
        if name == "text2video":
            return (made["video"], made["gif"], [made["video"], made["gif"]]), None
        return (made["image"], made["image"]), None

    page.wire(name, run, cancel, list(inputs.values()), outputs, status, prepare, present)


def build(page, pictures):
    gr.Markdown(word("text2image_title"))
    sections(page, list(TABS), lambda name: tab(page, name, pictures))


def main(argv=None, command=None):
    serve(build, "text2image", TITLE, argv, command)


if __name__ == "__main__":
    main()
