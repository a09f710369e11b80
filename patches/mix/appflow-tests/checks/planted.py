"""What mutations.py plants: how a fault is made, and the faults that each script must notice."""

from unittest import mock

import numpy as np
import soundfile
from PIL import Image

SCRIPTS = (
    "models/test_groundingdino.py",
    "models/test_sam.py",
    "appflow/test_auto_label.py",
    "appflow/test_text2image.py",
    "appflow/test_upscaling.py",
    "appflow/test_image2image.py",
    "appflow/test_image_inpainting.py",
    "appflow/test_dual_guided.py",
    "appflow/test_text2video.py",
    "appflow/test_audio_caption.py",
    "appflow/test_audio_chat.py",
    "appflow/test_music_generation.py",
)


def wrapped(owner, name, change):
    """A fault: `change(original, *arguments)` stands in for the method `name` of `owner`."""
    original = getattr(owner, name)
    return lambda: mock.patch.object(owner, name, lambda *args, **inputs: change(original, *args, **inputs))


def swapped(image):
    return Image.merge("RGB", image.split()[::-1])


def on_result(change):
    def fault(original, self, inputs):
        outputs = original(self, inputs)
        outputs["result"] = change(outputs["result"])
        return outputs

    return fault


def on_input(key, change, **missing):
    """The method gets `change(value)` as its input `key`; `missing` is the value where none is given, else that is an error."""

    def fault(original, self, inputs):
        return original(self, {**inputs, key: change(inputs.get(key, missing["missing"]) if missing else inputs[key])})

    return fault


def without(name, value):
    """The attribute `name` is `value` while the method runs, whatever was given."""

    def fault(original, self, inputs):
        with mock.patch.object(self, name, value):
            return original(self, inputs)

    return fault


def spoken(change):
    """The samples of the file that was written are changed by `change`."""

    def fault(original, self, inputs):
        outputs = original(self, inputs)
        samples, rate = soundfile.read(outputs["audio"])
        soundfile.write(outputs["audio"], change(samples), rate)
        return outputs

    return fault


def reseeded(original, self, inputs):
    import paddle

    paddle.seed(0)
    return original(self, inputs)


def turned(outputs, key, change):
    return {**outputs, key: change(outputs[key])}


def drawing(task, prompt="prompt", image=True):
    """Faults that every application that draws can have."""

    faults = {
        "swapped channels": wrapped(task, "_run_model", on_result(swapped)),
        "result upside down": wrapped(task, "_run_model", on_result(lambda r: r.transpose(Image.FLIP_TOP_BOTTOM))),
        "result at half the size": wrapped(task, "_postprocess", on_result(lambda r: r.resize((r.width // 2, r.height // 2)))),
        "prompt ignored": wrapped(task, "_run_model", on_input(prompt, lambda _: "x")),
        "seed ignored": wrapped(task, "_run_model", reseeded),
        "one grey": wrapped(task, "_run_model", on_result(lambda r: Image.new("RGB", r.size, (127, 127, 127)))),
        "inputs not checked": wrapped(task, "_preprocess", lambda original, self, inputs: inputs),
    }
    if image:
        faults["input picture ignored"] = wrapped(task, "_run_model", on_input("image", lambda i: Image.new("RGB", i.size)))
        faults["input channels swapped"] = wrapped(task, "_run_model", on_input("image", swapped))
    return faults


def common():
    from paddle import inference
    from paddlemix.appflow import audio_asr as ears
    from paddlemix.appflow import image2image_text_guided_generation as to_image
    from paddlemix.appflow import image2text_generation as eyes
    from paddlemix.appflow import openset_det_sam as det
    from paddlemix.appflow import text2audio_generation as music
    from paddlemix.appflow import text2image_generation as to_text
    from paddlemix.appflow import text2image_inpaiting as paint
    from paddlemix.appflow import text2speech_synthesize as mouth
    from paddlemix.appflow import text2text_generation as chat
    from paddlemix.appflow import text2video_generation as video
    from paddlemix.models.groundingdino.modeling import GroundingDinoModel
    from paddlemix.models.sam.modeling import SamModel
    from paddlemix.processors import groundingdino_processing as gd
    from paddlemix.processors import sam_processing as sam

    def reversed_boxes(original, *args, **inputs):
        result = original(*args, **inputs)
        return {**result, "pred_boxes": result["pred_boxes"][..., [1, 0, 3, 2]]}

    def no_threshold(original, self, inputs):
        with mock.patch.object(self, "_box_threshold", 0.0):
            return original(self, inputs)

    def no_mean(original, self, images, **options):
        with mock.patch.object(self, "image_mean", [0.0, 0.0, 0.0]):
            return original(self, images, **options)

    def first_mask(original, self, masks, *rest):
        return original(self, masks[:1], *rest).tile([masks.shape[0], 1, 1, 1])

    def backwards(original, self, audio_type, path):
        original(self, audio_type, path)
        self._inputs["audio"] = self._inputs["audio"].flip([1])

    def last_line_first(original, self, inputs):
        outputs = original(self, inputs)
        return {**outputs, "prompt": outputs["inpaint_prompt"], "inpaint_prompt": outputs["prompt"]}

    hearing = {
        "recording ignored": wrapped(ears.AudioASRTask, "_run_model", on_input("audio", lambda _: "low.wav")),
        "recording backwards": wrapped(ears.WhisperExecutor, "preprocess", backwards),
        "what was heard is lost": wrapped(ears.AudioASRTask, "_run_model", on_input("prompt", lambda p: p.replace("{}", ""))),
        "prompt ignored": wrapped(chat.ChatGlmTask, "_run_model", on_input("prompt", lambda _: "x")),
        "inputs not checked": wrapped(ears.AudioASRTask, "_preprocess", lambda original, self, inputs: inputs),
    }
    return {
        "models/test_groundingdino.py": {
            "swapped coordinates": wrapped(GroundingDinoModel, "forward", reversed_boxes),
            "text ignored": wrapped(gd.GroudingDinoTextProcessor, "pre_caption", lambda original, self, text: original(self, "x")),
            "channels swapped": wrapped(
                gd.GroudingDinoImageProcessor, "preprocess", lambda o, s, images, **k: o(s, swapped(images), **k)
            ),
            "not normalized": wrapped(
                gd.GroudingDinoImageProcessor, "preprocess", lambda o, s, images, **k: o(s, images, image_mean=[0, 0, 0], **k)
            ),
            "phrases not separated": wrapped(
                gd.GroudingDinoTextProcessor,
                "generate_masks_with_special_tokens_and_transfer_map",
                lambda o, s, t, special: o(s, t, special[:2]),
            ),
            "picture not resized": wrapped(gd.GroudingDinoImageProcessor, "resize", lambda o, self, image, **k: image),
        },
        "models/test_sam.py": {
            "masks inverted": wrapped(sam.SamProcessor, "postprocess_masks", lambda o, *a: ~o(*a)),
            "first mask for every box": wrapped(sam.SamProcessor, "postprocess_masks", first_mask),
            "boxes not scaled": wrapped(sam.SamPromptProcessor, "apply_boxes", lambda o, self, boxes, size: boxes),
            "channels swapped": wrapped(sam.SamImageProcessor, "apply_image", lambda o, self, image: o(self, image)[..., ::-1]),
            "not normalized": wrapped(sam.SamImageProcessor, "preprocess", no_mean),
            "first picture kept": wrapped(
                SamModel, "full_mask_forward", lambda o, self, img, points: o(self, None if self.set_image else img, points)
            ),
        },
        "appflow/test_auto_label.py": {
            "boxes swapped": wrapped(
                det.OpenSetDetTask, "_postprocess", lambda o, self, i: turned(o(self, i), "boxes", lambda b: b[:, [1, 0, 3, 2]])
            ),
            "labels in another order": wrapped(
                det.OpenSetDetTask, "_postprocess", lambda o, self, i: turned(o(self, i), "labels", lambda b: b[::-1])
            ),
            "threshold ignored": wrapped(det.OpenSetDetTask, "_postprocess", no_threshold),
            "prompt ignored": wrapped(det.OpenSetDetTask, "_preprocess", on_input("prompt", lambda _: "x")),
            "channels swapped before detection": wrapped(det.OpenSetDetTask, "_preprocess", on_input("image", swapped)),
            "masks inverted": wrapped(
                det.OpenSetSegTask, "_postprocess", lambda o, self, i: turned(o(self, i), "seg_masks", lambda m: ~m)
            ),
            "masks of other boxes": wrapped(det.OpenSetSegTask, "_preprocess", on_input("boxes", lambda b: b[::-1])),
            "prompt of the caption ignored": wrapped(eyes.Blip2CaptionTask, "_preprocess", on_input("blip2_prompt", lambda _: "x")),
            "channels swapped before the caption": wrapped(eyes.Blip2CaptionTask, "_preprocess", on_input("image", swapped)),
            "every word of the caption a tag": wrapped(
                eyes.Blip2CaptionTask, "_lemmas_of_nouns", lambda o, self, text: text.split()
            ),
            "tags in another order": wrapped(eyes.Blip2CaptionTask, "_lemmas_of_nouns", lambda o, self, text: o(self, text)[::-1]),
            "a pass kept that static mode cannot use": wrapped(inference.Config, "delete_pass", lambda o, self, name: None),
        },
        "appflow/test_text2video.py": {
            "channels swapped": wrapped(video.TextToVideoSDTask, "_run_model", on_result(lambda r: [f[..., ::-1] for f in r])),
            "frames reversed": wrapped(video.TextToVideoSDTask, "_run_model", on_result(lambda r: r[::-1])),
            "one frame repeated": wrapped(video.TextToVideoSDTask, "_run_model", on_result(lambda r: [r[0]] * len(r))),
            "prompt ignored": wrapped(video.TextToVideoSDTask, "_run_model", on_input("prompt", lambda _: "x")),
            "steps ignored": wrapped(video.TextToVideoSDTask, "_run_model", on_input("num_inference_steps", lambda _: 2)),
            "seed ignored": wrapped(video.TextToVideoSDTask, "_run_model", reseeded),
        },
        "appflow/test_audio_caption.py": {
            **hearing,
            "answers exchanged": wrapped(chat.ChatGlmTask, "_postprocess", last_line_first),
        },
        "appflow/test_audio_chat.py": {
            **hearing,
            "speech backwards": wrapped(mouth.AudioTTSTask, "_run_model", spoken(lambda samples: samples[::-1])),
            "speech at half the loudness": wrapped(mouth.AudioTTSTask, "_run_model", spoken(lambda samples: samples / 2)),
            "silence": wrapped(mouth.AudioTTSTask, "_run_model", spoken(np.zeros_like)),
            "answer not spoken": wrapped(mouth.AudioTTSTask, "_run_model", on_input("prompt", lambda _: "a dog")),
            "seed of the speech ignored": wrapped(mouth.AudioTTSTask, "_run_model", reseeded),
        },
        "appflow/test_music_generation.py": {
            "picture ignored": wrapped(
                eyes.MiniGPT4Task, "_preprocess", on_input("image", lambda i: i and Image.new("RGB", i.size))
            ),
            "channels of the picture swapped": wrapped(
                eyes.MiniGPT4Task, "_preprocess", on_input("image", lambda i: i and swapped(i))
            ),
            "question ignored": wrapped(eyes.MiniGPT4Task, "_preprocess", on_input("minigpt4_text", lambda _: "x")),
            "prompt ignored": wrapped(music.AudioLDMPipelineTask, "_run_model", on_input("prompt", lambda _: "x")),
            "sound backwards": wrapped(music.AudioLDMPipelineTask, "_run_model", on_result(lambda r: r[::-1])),
            "sound at half the loudness": wrapped(music.AudioLDMPipelineTask, "_run_model", on_result(lambda r: r / 2)),
            "silence": wrapped(music.AudioLDMPipelineTask, "_run_model", on_result(np.zeros_like)),
            "seed ignored": wrapped(music.AudioLDMPipelineTask, "_run_model", reseeded),
            "steps ignored": wrapped(music.AudioLDMPipelineTask, "_run_model", on_input("num_inference_steps", lambda _: 2)),
            "length ignored": wrapped(music.AudioLDMPipelineTask, "_run_model", on_input("audio_length_in_s", lambda _: 0.064)),
        },
        "appflow/test_text2image.py": drawing(to_text.StableDiffusionTask, image=False),
        "appflow/test_upscaling.py": drawing(to_image.StableDiffusionUpscaleTask),
        "appflow/test_image2image.py": drawing(to_image.StableDiffusionImg2ImgTask),
        "appflow/test_dual_guided.py": drawing(to_text.VersatileDiffusionDualGuidedTask),
        "appflow/test_image_inpainting.py": drawing(paint.StableDiffusionInpaintTask, "inpaint_prompt"),
    }
