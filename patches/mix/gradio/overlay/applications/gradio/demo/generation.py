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
"""The four tabs of gradio_text2image.py, as they run in the worker."""

import imageio
import numpy as np
from PIL import Image

from . import models

MULTIPLE = 8  # the autoencoders halve a side three times


def fitted(image, width, height):
    """An RGB image of exactly that size, cut (not stretched) around its middle."""
    scale = max(width / image.width, height / image.height)
    resized = image.resize(
        (max(width, round(image.width * scale)), max(height, round(image.height * scale))), Image.LANCZOS
    )
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))


def within(image, longest):
    """An RGB image whose sides are multiples of 8 and at most `longest`; it is never made larger."""
    scale = min(1.0, longest / max(image.size))
    sides = [max(MULTIPLE, int(side * scale) // MULTIPLE * MULTIPLE) for side in image.size]
    return image.resize(sides, Image.LANCZOS)


def upscaling(run):
    given = run.inputs
    image = within(_open(given["image"]), given["longest_side"])
    extra = {"negative_prompt": given["negative_prompt"], "noise_level": given["noise_level"]}
    return _picture(run, "upscaling", given["steps"], image=image, **extra)


def image2image(run):
    given = run.inputs
    image = fitted(_open(given["image"]), given["width"], given["height"])
    extra = {"negative_prompt": given["negative_prompt"], "strength": given["strength"]}
    # the pipeline starts in the middle: that share of the steps is what it runs
    steps = min(int(given["steps"] * given["strength"]), given["steps"])
    return _picture(run, "image2image", steps, image=image, **extra)


def dual_guided(run):
    given = run.inputs
    image = fitted(_open(given["image"]), given["width"], given["height"])
    extra = {"text_to_image_strength": given["text_strength"], "width": given["width"], "height": given["height"]}
    return _picture(run, "dual_guided", given["steps"], image=image, **extra)


def text2video(run):
    given = run.inputs
    extra = {"negative_prompt": given["negative_prompt"], "num_frames": given["frames"]}
    size = {"width": given["width"], "height": given["height"]}
    frames = _result(run, "text2video", given["steps"], **extra, **size).frames
    made = write_video([np.asarray(frame) for frame in frames], given["fps"], run.path("video"))
    return {**made, "notes": unread(models.pipeline("text2video"), given)}


def write_video(frames, fps, stem):
    """An mp4 that browsers play (H.264, yuv420p) and an animated GIF.

    Args:
        frames (list[np.ndarray]): each [H, W, 3] of uint8, both sides even.
        fps (int): frames per second.
        stem (str): path without the suffix.
    """
    quality = {"codec": "libx264", "pixelformat": "yuv420p", "macro_block_size": 2}
    with imageio.get_writer(stem + ".mp4", fps=fps, output_params=["-movflags", "+faststart"], **quality) as writer:
        for frame in frames:
            writer.append_data(frame)
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(stem + ".gif", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
    return {"video": stem + ".mp4", "gif": stem + ".gif"}


def _open(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def _picture(run, name, steps, **options):
    path = run.path("result.png")
    _result(run, name, steps, **options).images[0].save(path)
    return {"image": path, "notes": unread(models.pipeline(name), run.inputs)}


def unread(pipeline, given):
    """What the text encoder does not read: it takes 77 tokens, and the pipelines cut the rest without a word.

    Returns:
        list: (key of WORDS, values) for each prompt that is longer.
    """
    notes, tokenizer = [], pipeline.tokenizer
    limit = tokenizer.model_max_length
    for key in ("prompt", "negative_prompt"):
        text = given.get(key) or ""
        ids = tokenizer(text)["input_ids"]
        if len(ids) > limit:
            # the last token of `limit` is the end of the text
            rest = tokenizer.decode(ids[limit - 1 : -1], skip_special_tokens=True).strip()
            notes.append(("cut_" + key, {"tokens": len(ids), "limit": limit, "rest": rest[:200]}))
    return notes


def _result(run, name, steps, **options):
    """Calls the pipeline of a tab; every step is reported, and a cancel ends it at the next one."""
    run.progress("loading")
    pipeline = models.pipeline(name)
    import paddle

    # the worker runs one thing at a time, so the global generators give the same result for the same seed
    paddle.seed(run.inputs["seed"])
    np.random.seed(run.inputs["seed"])

    def callback(step, timestep, latents):
        run.progress("step", (step + 1) / steps, step=step + 1, total=steps)

    run.progress("step", 0.0, step=0, total=steps)
    common = {"num_inference_steps": run.inputs["steps"], "guidance_scale": run.inputs["guidance"]}
    return pipeline(prompt=run.inputs["prompt"], callback=callback, **common, **options)


APPLICATIONS = {
    "upscaling": upscaling,
    "image2image": image2image,
    "dual_guided": dual_guided,
    "text2video": text2video,
}
