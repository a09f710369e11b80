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
"""Auto label, as it runs in the worker: find objects, make polygons of their masks, write what labelme opens."""

import os
import re
import traceback

import numpy as np
from PIL import Image, ImageDraw

from . import labelme_file, models, results
from .uploads import Limits, Upload, read_image
from .words import Refused

COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
PREVIEW_SIDE = 1024


def find_by_appflow(run, image, name):
    """Objects in an image by Grounding DINO and SAM; where no labels are given, by what BLIP-2 says of the image.

    The tasks of Appflow are called one after the other as Appflow does, so that a run can be cancelled between them, and so that an image
    in which nothing is detected never reaches SAM, which cannot take an empty list of boxes.

    Args:
        run (worker.Run): its inputs hold "labels", "box_threshold" and "text_threshold".
        image (PIL.Image.Image): RGB.

    Returns:
        list[tuple]: (label, score, mask [H, W] of bool)
    """
    prompt = " . ".join(split_labels(run.inputs["labels"]))
    if not prompt:
        run.progress("loading")
        caption = models.appflow(*models.CAPTION)
        run.progress("captioning", name=name)
        prompt = caption(image=image, blip2_prompt="describe the image")["prompt"].replace(",", " . ")
    run.progress("loading")
    detect, segment = models.appflow(*models.DETECT_AND_SEGMENT).task_instances
    detect.set_argument({key: run.inputs[key] for key in ("box_threshold", "text_threshold")})
    run.progress("detecting", name=name)
    found = detect({"image": image, "prompt": prompt})
    if len(found["boxes"]) == 0:
        return []
    run.progress("segmenting", name=name)
    masks = np.asarray(segment(found)["seg_masks"]).reshape(len(found["labels"]), image.height, image.width)
    pairs = [labelme_file.split_phrase(phrase) for phrase in found["labels"]]
    return [(readable(label) or prompt, score, mask) for (label, score), mask in zip(pairs, masks)]


def split_labels(text):
    """The labels that a user wrote, separated by commas or semicolons of either language, by the mark of an enumeration, or by lines."""
    return [label.strip() for label in re.split(r"[,，、;；\n]", text) if label.strip()]


def readable(label):
    """A label without what AppFlow's decoding leaves in it: [CLS], [SEP] and the full stops between labels."""
    return " ".join(re.sub(r"\[[A-Z]+\]|\.", " ", label).split())


def autolabel(run, find=find_by_appflow):
    """Labels images; each is a record of `results` once it is finished.

    Args:
        run (worker.Run): "uploads" [(name, path)], "tolerance", "min_area", "holes", "embed", "megapixels", and what `find` needs.

    Returns:
        dict: "left_out" [(name, key, values)].
    """
    given = run.inputs
    limits = Limits(megapixels=given["megapixels"])
    left_out, total = [], len(given["uploads"])
    for number, (name, path) in enumerate(given["uploads"]):
        run.check()
        run.part(number, total)
        try:
            image = read_image(Upload(name, path), limits)
            shapes = _shapes(find(run, image, name), given)
            if not shapes:
                raise Refused("no_objects", name=name)
        except Refused as refused:
            # one image alone has nothing beside it that could be kept
            if refused.key in ("cancelled", "not_installed") or total == 1:
                raise
            left_out.append((name, refused.key, refused.values))
            continue
        except ImportError:
            raise
        except Exception as problem:
            if total == 1:
                raise
            traceback.print_exc()
            left_out.append((name, "model_failed", {"reason": str(problem).strip().split("\n")[-1][:300]}))
            continue
        embedded = labelme_file.upright_bytes(path) if given["embed"] else None
        content = labelme_file.label_file(shapes, os.path.basename(name), image.width, image.height, embedded)
        preview = run.path("preview%05d.png" % number)
        draw(image, shapes).save(preview)
        results.finish(run.folder, number, name, path, content, preview, _rows(shapes))
    if len(left_out) == total:
        raise Refused("no_images") if not left_out else Refused(left_out[0][1], **left_out[0][2])
    return {"left_out": left_out}


def draw(image, shapes):
    """The image with its polygons, each with its number; at most PREVIEW_SIDE pixels a side."""
    scale = min(1.0, PREVIEW_SIDE / max(image.size))
    picture = image.resize([max(1, round(side * scale)) for side in image.size])
    overlay = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(overlay)
    for number, shape in enumerate(shapes):
        points = [(x * scale, y * scale) for x, y in shape["points"]]
        colour = COLOURS[(shape["group_id"] or 0) % len(COLOURS)]
        # a hole is drawn as what it is: nothing, in the colour of its object's outline
        pen.polygon(
            points, fill=(0, 0, 0, 0) if shape["label"] == labelme_file.BACKGROUND else colour + "60", outline=colour
        )
    for number, shape in enumerate(shapes):
        x, y = shape["points"][0]
        pen.text((x * scale + 2, y * scale + 1), str(number + 1), fill="white", stroke_width=2, stroke_fill="black")
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _shapes(objects, given):
    options = {key: given[key] for key in ("tolerance", "min_area", "holes")}
    pairs = []
    for group, (label, score, mask) in enumerate(objects):
        pairs += labelme_file.shapes_of_mask(mask, label, group, score, **options)
    return labelme_file.in_drawing_order(pairs)


def _rows(shapes):
    """number, label, score, points, area of each shape"""
    rows = []
    for number, shape in enumerate(shapes):
        x, y = np.asarray(shape["points"]).T
        area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
        rows.append(
            [number + 1, shape["label"], shape["description"].replace("score ", ""), len(shape["points"]), int(area)]
        )
    return rows


# the two tabs of the page
APPLICATIONS = {"single": autolabel, "batch": autolabel}
