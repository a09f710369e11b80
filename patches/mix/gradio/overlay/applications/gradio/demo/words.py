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
"""Every sentence of the pages in Chinese and English, and the error whose text follows the reader's language."""

LANGUAGES = ("zh", "en")

WORDS = {
    # what both pages have
    "run": ("运行", "Run"),
    "cancel": ("取消", "Cancel"),
    "prompt": ("提示词", "Prompt"),
    "negative_prompt": ("反向提示词（不希望出现的内容）", "Negative prompt (what should not appear)"),
    "image": ("输入图像", "Input image"),
    "result": ("结果", "Result"),
    "download": ("下载", "Download"),
    "status": ("状态", "Status"),
    "examples": ("示例", "Examples"),
    "idle": ("等待输入", "Nothing is running"),
    "waiting": ("排队中，前面还有 {ahead} 个任务", "Waiting: {ahead} before this one"),
    "loading": ("正在加载模型（只在第一次需要）", "Loading the model (the first time only)"),
    "step": ("第 {step} / {total} 步", "Step {step} of {total}"),
    "done": ("完成，用时 {seconds} 秒", "Done in {seconds} s"),
    "done_seed": ("完成，用时 {seconds} 秒，种子 {seed}", "Done in {seconds} s with seed {seed}"),
    "sections": ("页面", "Part of the page"),
    "running": ("运行中……", "Running…"),
    "part": ("第 {part} / {parts} 张，", "{part} of {parts}: "),
    "cancelled": ("已取消，没有留下任何结果", "Cancelled; no result was kept"),
    "kept": ("；已完成的 {images} / {total} 张已保留", "; the {images} of {total} images that are finished are kept"),
    "stopped": ("已取消", "Cancelled"),
    "state_idle": ("空闲", "Idle"),
    "state_running": ("运行中", "Running"),
    "state_done": ("完成", "Done"),
    "state_failed": ("失败", "Failed"),
    "state_stopped": ("已取消", "Cancelled"),
    # gradio_autolable.py
    "autolabel_title": (
        "# 自动标注\n用文字描述目标，得到可以直接用 labelme 打开的多边形标注。",
        "# Auto label\nNames of objects in, polygons out: JSON files that labelme opens as they are.",
    ),
    "single": ("单张图像", "One image"),
    "batch": ("多张图像、文件夹或 zip", "Many images, a directory or a zip"),
    "files": ("图像或 zip（可多选）", "Images or zips (several at once)"),
    "directory": ("文件夹", "Directory"),
    "labels": ("要标注的类别，用逗号或顿号分隔", "What to label, separated by commas"),
    "labels_info": (
        "请用英文填写（例如 dog、bench）：检测模型按英文训练，中文类别基本找不到。留空时由 BLIP-2 描述图像，并取其中的名词",
        "Left empty, BLIP-2 describes the image and its nouns are taken",
    ),
    "holes": ("孔洞", "Holes"),
    "holes_label": (
        "单独的多边形，标签 _background_（labelme 自带工具按顺序绘制时可还原）",
        "Polygons labelled _background_ (labelme's own tools draw the mask back)",
    ),
    "holes_cut": (
        "切入多边形（转换为 COCO 时面积正确）",
        "Cut into the polygon (right areas after a conversion to COCO)",
    ),
    "box_threshold": ("检测框阈值", "Box threshold"),
    "text_threshold": ("文本阈值", "Text threshold"),
    "tolerance": ("轮廓简化（像素），0 为逐像素", "Outline tolerance in pixels, 0 keeps each pixel"),
    "min_area": ("最小面积（像素）", "Smallest area in pixels"),
    "embed": ("把图像写进 JSON（imageData）", "Put the image into the JSON (imageData)"),
    "preview": ("标注预览", "Preview"),
    "shapes": ("标注列表", "Shapes"),
    "shapes_heads": ("图像,编号,类别,得分,点数,面积", "image,number,label,score,points,area"),
    "more_rows": (
        "这里只显示前 {most} 行，其余 {count} 行在下载的文件中",
        "The first {most} rows are shown; {count} more are in the files to download",
    ),
    "report": ("没有标注的文件", "Files that were left out"),
    "report_heads": ("文件,原因", "file,why"),
    "detecting": ("{name}：检测", "{name}: detecting"),
    "segmenting": ("{name}：分割", "{name}: segmenting"),
    "captioning": ("{name}：描述", "{name}: describing"),
    "labelled": ("已标注 {images} 张图像，共 {shapes} 个多边形", "{images} images labelled, {shapes} polygons"),
    "left_out": ("，{count} 个文件未处理", ", {count} files left out"),
    # gradio_text2image.py
    "text2image_title": (
        "# 文图生成\n文本引导的放大、图像变换、图文双引导生成和视频生成。",
        "# Text to image\nUpscaling, image to image, dual guided generation and video, guided by text.",
    ),
    "upscaling": ("文本引导的图像放大", "Upscaling"),
    "image2image": ("文本引导的图像变换", "Image to image"),
    "dual_guided": ("图文双引导生成", "Dual guided"),
    "text2video": ("文本生成视频", "Text to video"),
    "steps": ("去噪步数", "Denoising steps"),
    "guidance": ("文本引导强度", "Guidance scale"),
    "seed": ("随机种子，-1 为随机", "Seed, -1 takes a random one"),
    "width": ("宽（像素）", "Width in pixels"),
    "height": ("高（像素）", "Height in pixels"),
    "longest_side": ("放大前的最长边（像素），结果为其 4 倍", "Longest side before upscaling; the result has 4 times as much"),
    "noise_level": ("加噪等级", "Noise level"),
    "strength": ("变换强度", "Strength of the change"),
    "text_strength": ("文本所占比重（0 只看图像）", "Weight of the text (0: the image alone)"),
    "frames": ("帧数", "Frames"),
    "fps": ("每秒帧数", "Frames per second"),
    "video": ("视频", "Video"),
    "gif": ("动图", "GIF"),
    # what can be wrong
    "no_image": ("没有图像：请先上传一张图像", "There is no image: upload one first"),
    "no_files": ("没有文件：请上传图像、文件夹或 zip", "There are no files: upload images, a directory or a zip"),
    "no_prompt": ("提示词为空：请写下希望得到的内容", "The prompt is empty: write what you want to get"),
    "long_prompt": (
        "提示词有 {length} 个字符，最多 {limit} 个：请缩短后再试",
        "The prompt has {length} characters, at most {limit} are taken: shorten it",
    ),
    "cut_prompt": (
        "。提示词有 {tokens} 个 token，模型只读前 {limit} 个，未读部分：{rest}",
        ". The prompt has {tokens} tokens and the model reads {limit}; not read: {rest}",
    ),
    "cut_negative_prompt": (
        "。反向提示词有 {tokens} 个 token，模型只读前 {limit} 个，未读部分：{rest}",
        ". The negative prompt has {tokens} tokens and the model reads {limit}; not read: {rest}",
    ),
    "few_steps": (
        "去噪步数 {steps} 乘以变换强度 {strength} 小于 1，图像不会改变：请至少用 {least} 步",
        "{steps} steps times a strength of {strength} is less than one step, which changes nothing: take at least {least} steps",
    ),
    "bad_number": ("{name} 为 {value}，应在 {low} 与 {high} 之间", "{name} is {value}, want {low} to {high}"),
    "empty_file": ("{name} 是空文件（0 字节）", "{name} is empty (0 bytes)"),
    "not_an_image": (
        "{name} 不是图像：请上传 PNG、JPEG、BMP、WEBP 或 TIFF",
        "{name} is not an image: upload PNG, JPEG, BMP, WEBP or TIFF",
    ),
    "cut_short": ("{name} 已损坏，无法读取", "{name} is damaged and cannot be read"),
    "too_many_pixels": (
        "{name} 有 {megapixels} 百万像素，最多 {limit}：请缩小后再试",
        "{name} has {megapixels} megapixels, at most {limit} are taken: make it smaller",
    ),
    "big_file": ("{name} 大于 {limit} MB", "{name} is larger than {limit} MB"),
    "many_files": ("有 {count} 个文件，最多 {limit} 个：请分批上传", "There are {count} files, at most {limit} are taken"),
    "no_images": ("上传的文件中没有图像", "There is no image in what was uploaded"),
    "bad_zip": ("{name} 不是完整的 zip 文件", "{name} is not a whole zip file"),
    "zip_encrypted": (
        "{name} 中的 {entry} 已加密：请上传未加密的 zip",
        "{entry} in {name} is encrypted: upload a zip without a password",
    ),
    "zip_path": ("{name} 中的 {entry} 指向 zip 之外的路径，已拒绝", "{name} was refused: {entry} points outside of the zip"),
    "zip_link": ("{name} 中的 {entry} 是链接或特殊文件，已拒绝", "{name} was refused: {entry} is a link or a special file"),
    "zip_twice": ("{name} 中 {entry} 出现两次，已拒绝", "{name} was refused: it holds {entry} twice"),
    "zip_bomb": (
        "{name} 解压后过大（{entry}），已拒绝：最多 {limit} MB，压缩比最大 {ratio}",
        "{name} was refused: it unpacks to too much ({entry}); at most {limit} MB, ratio {ratio}",
    ),
    "no_objects": ("{name}：没有找到这些类别，可以降低阈值或换一种说法", "{name}: nothing found; lower the thresholds or use other words"),
    "busy": ("任务已满（{limit} 个）：请稍后再试", "The queue is full ({limit} runs): try again later"),
    "worker_died": (
        "模型进程意外退出（{status}）：再次点击运行会重新加载",
        "The model process ended unexpectedly ({status}): run again and it is loaded anew",
    ),
    "not_installed": (
        "缺少运行模型所需的包（{reason}）：请按 README 安装，或用 --worker-python 指定另一个 Python",
        "A package that the models need is missing ({reason}): install it as the README says, or name another Python by --worker-python",
    ),
    "model_failed": ("模型运行出错：{reason}", "The model failed: {reason}"),
    "closing": ("服务正在关闭", "The server is going down"),
}


def table(language):
    """All sentences of one language: {key: text}."""
    return {key: texts[LANGUAGES.index(language)] for key, texts in WORDS.items()}


def say(language, key, **values):
    """One sentence. A KeyError here is a mistake in the code, and the tests look for it."""
    return WORDS[key][LANGUAGES.index(language)].format(**values)


def language_of(header):
    """ "zh" or "en" from an Accept-Language header: what the browser asks for first, English where it asks for neither."""
    for part in (header or "").lower().split(","):
        if part.strip()[:2] in LANGUAGES:
            return part.strip()[:2]
    return "en"


class Refused(Exception):
    """What a user did cannot be done, in words of this file.

    Args:
        key (str): a key of WORDS.
        values: what stands in the sentence's braces.
    """

    def __init__(self, key, **values):
        super().__init__(say("en", key, **values))
        self.key = key
        self.values = values

    def text(self, language):
        values = dict(self.values)
        if self.key == "bad_number" and values["name"] in WORDS:  # an input is called as it is on the page
            values["name"] = say(language, values["name"])
        return say(language, self.key, **values)
