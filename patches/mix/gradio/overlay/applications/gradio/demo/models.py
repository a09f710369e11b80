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
"""Models by their AppFlow names, loaded when first asked for and kept until the process ends.

A name is looked up in the current directory first, as `from_pretrained` does: a directory `stabilityai/stable-diffusion-x4-upscaler/` there
is taken instead of a download.
"""

import functools
import importlib.util
import inspect

# page's name: (AppFlow's application, its model, the pipeline of ppdiffusers that AppFlow makes of it)
PIPELINES = {
    "upscaling": (
        "image2image_text_guided_upscaling",
        "stabilityai/stable-diffusion-x4-upscaler",
        "StableDiffusionUpscalePipeline",
    ),
    "image2image": (
        "image2image_text_guided_generation",
        "Linaqruf/anything-v3.0",
        "StableDiffusionImg2ImgPipeline",
    ),
    "dual_guided": (
        "dual_text_and_image_guided_generation",
        "shi-labs/versatile-diffusion",
        "VersatileDiffusionDualGuidedPipeline",
    ),
    "text2video": (
        "text_to_video_generation",
        "damo-vilab/text-to-video-ms-1.7b",
        "TextToVideoSDPipeline",
    ),
}
DETECT_AND_SEGMENT = ("openset_det_sam", ("GroundingDino/groundingdino-swint-ogc", "Sam/SamVitH-1024"))
CAPTION = ("auto_label", ("paddlemix/blip2-caption-opt2.7b",))


@functools.lru_cache(maxsize=None)
def appflow(application, models):
    """The Appflow of an application.

    Args:
        application (str): a key of paddlemix.appflow.configuration.APPLICATIONS.
        models (tuple[str]): names of its models, in the order in which they run.
    """
    from paddlemix.appflow import Appflow

    return Appflow(app=application, models=list(models))


@functools.lru_cache(maxsize=None)
def pipeline(name):
    """The diffusion pipeline of one tab.

    AppFlow's tasks take neither a seed nor a size, and tell nothing while they run, but the pipeline that they hold does. So the task is
    made by Appflow, which knows how to make it, and its pipeline is called. Without PaddleMIX, ppdiffusers makes the same pipeline.
    """
    application, model, class_name = PIPELINES[name]
    if importlib.util.find_spec("paddlemix") is not None:
        return appflow(application, (model,)).task_instances[0]._model
    import ppdiffusers

    options = {"safety_checker": None} if name == "image2image" else {}  # as AppFlow does
    made = getattr(ppdiffusers, class_name).from_pretrained(model, **options)
    if name == "dual_guided":
        made.remove_unused_weights()
        _accept_masks(made.image_unet)
    if name == "text2video":
        made.scheduler = ppdiffusers.DPMSolverMultistepScheduler.from_config(made.scheduler.config)
    return made


def _accept_masks(unet):
    """In ppdiffusers 0.19.3 and 0.19.4 the U-Net hands its joined layers a mask (always None here) that they do not take."""
    for layer in unet.sublayers():
        if type(layer).__name__ == "DualTransformer2DModel":
            forward = layer.forward
            if "encoder_attention_mask" not in inspect.signature(forward).parameters:
                layer.forward = functools.partial(_without_mask, forward)


def _without_mask(forward, *args, encoder_attention_mask=None, **options):
    return forward(*args, **options)
