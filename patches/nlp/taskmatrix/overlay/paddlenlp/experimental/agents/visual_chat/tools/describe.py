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

"""Tools that tell what a picture shows."""

from __future__ import annotations

from .base import PICTURE, TEXT, Argument, Context, Tool, register

ONE = {"picture": Argument(PICTURE, "the picture", "图片")}


@register
class DescribePicture(Tool):
    name = "describe_picture"
    description = "Say in one sentence what a picture shows."
    description_zh = "用一句话描述图片的内容。"
    arguments = ONE
    models = ("caption",)

    def run(self, context: Context, picture: str) -> str:
        with context.model("caption") as caption:
            return caption(context.gallery.open(picture))


@register
class AnswerQuestion(Tool):
    name = "answer_question"
    description = "Answer a question about a picture: how many, what colour, who, where."
    description_zh = "回答关于图片的问题：几个、什么颜色、谁、在哪里。"
    arguments = {**ONE, "question": Argument(TEXT, "the question, in English", "英文问题")}
    models = ("vqa",)

    def run(self, context: Context, picture: str, question: str) -> str:
        with context.model("vqa") as vqa:
            return vqa(context.gallery.open(picture), question)


@register
class ReadText(Tool):
    name = "read_text"
    description = "Read the words that are written in a picture."
    description_zh = "读出图片中的文字。"
    arguments = ONE
    models = ("ocr",)

    def run(self, context: Context, picture: str) -> str:
        with context.model("ocr") as ocr:
            return ocr(context.gallery.open(picture)) or "there are no words in the picture"
