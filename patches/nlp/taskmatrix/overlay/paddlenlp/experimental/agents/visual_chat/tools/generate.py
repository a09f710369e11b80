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

"""Tools that make pictures from words."""

from __future__ import annotations

from .base import PICTURE, TEXT, Argument, Context, Tool, register

QUALITY = ", best quality, extremely detailed"


@register
class GeneratePicture(Tool):
    name = "generate_picture"
    description = "Paint a new picture from a description alone."
    description_zh = "只根据文字描述画一张新图片。"
    arguments = {"prompt": Argument(TEXT, "what it shows, in English", "英文描述")}
    lineage = "text2image"
    models = ("text2image",)

    def run(self, context: Context, prompt: str):
        with context.model("text2image") as paint:
            return paint(prompt + QUALITY, seed=context.seed)


@register
class EditByInstruction(Tool):
    name = "edit_by_instruction"
    description = "Change the style or look of a whole picture by an instruction, such as: make it a watercolor."
    description_zh = "按指令改变整张图片的风格或外观，例如变成水彩画。"
    arguments = {
        "picture": Argument(PICTURE, "the picture", "图片"),
        "instruction": Argument(TEXT, "what to change, in English", "英文指令"),
    }
    lineage = "pix2pix"
    models = ("instruct",)

    def run(self, context: Context, picture: str, instruction: str):
        with context.model("instruct") as edit:
            return edit(context.gallery.open(picture), instruction, seed=context.seed)
