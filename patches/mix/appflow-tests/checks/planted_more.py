"""More faults for mutations.py, of other kinds than those of planted.py."""

from unittest import mock

import numpy as np
import soundfile
from PIL import Image
from planted import on_input, on_result, spoken, turned, without, wrapped


def others():
    """Faults of other kinds than those above: what is left out, exchanged, moved by a little, or set and not read."""
    from paddlemix.appflow import audio_asr as ears
    from paddlemix.appflow import image2image_text_guided_generation as to_image
    from paddlemix.appflow import image2text_generation as eyes
    from paddlemix.appflow import openset_det_sam as det
    from paddlemix.appflow import text2audio_generation as music
    from paddlemix.appflow import text2image_generation as to_text
    from paddlemix.appflow import text2image_inpaiting as paint
    from paddlemix.appflow import text2speech_synthesize as mouth
    from paddlemix.appflow import text2video_generation as video
    from paddlemix.models.groundingdino.modeling import GroundingDinoModel
    from paddlemix.processors import sam_processing as sam

    def first_mask_only(original, self, inputs):
        masks = inputs["seg_masks"]
        return original(self, {**inputs, "seg_masks": masks[:1] if hasattr(masks, "numpy") else masks})

    def exchanged(frames):
        frames = list(frames)
        frames[5], frames[6] = frames[6], frames[5]
        return frames

    def all_in_one(masks):
        return masks.any(axis=0, keepdim=True).tile([masks.shape[0], 1, 1, 1])

    def shorter(original, self, inputs):
        outputs = original(self, inputs)
        samples, rate = soundfile.read(outputs["audio"])
        soundfile.write(outputs["audio"], samples[: len(samples) * 9 // 10], rate)
        return outputs

    def half_heard(original, self, audio_type, path):
        original(self, audio_type, path)
        half = self._inputs["audio"].shape[1] // 2
        self._inputs["audio"][:, half:] = 0.0

    def of_the_first_call(original, self, *given, **named):
        return dict(self.__dict__.setdefault("_first", original(self, *given, **named)))

    blurred = on_input("image", lambda i: i.resize((max(1, i.width // 4), max(1, i.height // 4))).resize(i.size))
    return {
        "appflow/test_image_inpainting.py": {
            "only SAM's first mask painted": wrapped(paint.StableDiffusionInpaintTask, "_preprocess", first_mask_only),
            "mask inverted": wrapped(
                paint.StableDiffusionInpaintTask,
                "_run_model",
                on_input("mask_pil", lambda m: m.convert("L").point(lambda v: 255 - v)),
            ),
        },
        "appflow/test_text2video.py": {
            "two frames exchanged": wrapped(video.TextToVideoSDTask, "_run_model", on_result(exchanged)),
            "a frame left out and one twice": wrapped(video.TextToVideoSDTask, "_run_model", on_result(lambda r: [r[0], *r[:-1]])),
        },
        "appflow/test_image2image.py": {
            "guidance_scale ignored": wrapped(to_image.StableDiffusionImg2ImgTask, "_run_model", without("_guidance_scale", 7.5)),
            "strength ignored": wrapped(to_image.StableDiffusionImg2ImgTask, "_run_model", without("_strength", 0.75)),
            "negative prompt ignored": wrapped(
                to_image.StableDiffusionImg2ImgTask, "_run_model", on_input("negative_prompt", lambda _: "")
            ),
        },
        "appflow/test_auto_label.py": {
            "set_argument of the detector does nothing": wrapped(
                det.OpenSetDetTask, "set_argument", lambda o, self, argument: None
            ),
            "set_argument of SAM does nothing": wrapped(det.OpenSetSegTask, "set_argument", lambda o, self, argument: None),
            "text_threshold ignored": wrapped(det.OpenSetDetTask, "_postprocess", without("_text_threshold", 0.25)),
            "one mask of all boxes": wrapped(
                det.OpenSetSegTask, "_postprocess", lambda o, self, i: turned(o(self, i), "seg_masks", all_in_one)
            ),
            "caption cut": wrapped(eyes.Blip2CaptionTask, "_postprocess", on_result(lambda text: " ".join(text.split()[:-1]))),
        },
        "appflow/test_upscaling.py": {"picture blurred": wrapped(to_image.StableDiffusionUpscaleTask, "_run_model", blurred)},
        "appflow/test_dual_guided.py": {
            "picture mirrored": wrapped(
                to_text.VersatileDiffusionDualGuidedTask,
                "_run_model",
                on_input("image", lambda i: i.transpose(Image.FLIP_LEFT_RIGHT)),
            )
        },
        "appflow/test_text2image.py": {
            "colours lost": wrapped(to_text.StableDiffusionTask, "_run_model", on_result(lambda r: r.convert("L").convert("RGB")))
        },
        "appflow/test_music_generation.py": {
            "sound late by a few samples": wrapped(music.AudioLDMPipelineTask, "_run_model", on_result(lambda r: np.roll(r, 8)))
        },
        "appflow/test_audio_chat.py": {"end of the speech lost": wrapped(mouth.AudioTTSTask, "_run_model", shorter)},
        "appflow/test_audio_caption.py": {"half of the recording heard": wrapped(ears.WhisperExecutor, "preprocess", half_heard)},
        "models/test_groundingdino.py": {"every result the first": wrapped(GroundingDinoModel, "forward", of_the_first_call)},
        "models/test_sam.py": {
            "masks in another order": wrapped(
                sam.SamProcessor, "postprocess_masks", lambda o, self, masks, *rest: o(self, masks[::-1], *rest)
            )
        },
    }


def arguments():
    """One argument or input each that is not passed on, or has another value where none is given."""
    from paddlemix.appflow import audio_asr as ears
    from paddlemix.appflow import image2text_generation as eyes
    from paddlemix.appflow import openset_det_sam as det
    from paddlemix.appflow import text2audio_generation as music
    from paddlemix.appflow import text2image_generation as to_text
    from paddlemix.appflow import text2image_inpaiting as paint
    from paddlemix.appflow import text2speech_synthesize as mouth
    from paddlemix.appflow import text2video_generation as video
    from paddlemix.processors import groundingdino_processing as gd
    from paddlemix.processors import sam_processing as sam

    def lost(*names):
        """The method does not get the inputs `names`."""
        return lambda original, self, inputs: original(self, {k: v for k, v in inputs.items() if k not in names})

    def usual(name, value):
        """The input `name` is `value` where none is given."""
        return lambda original, self, inputs: original(self, {name: value, **inputs})

    def dropped(name):
        """The method does not get the argument `name`."""
        return lambda original, *args, **given: original(*args, **{k: v for k, v in given.items() if k != name})

    def set_before(name, value):
        """The attribute `name` is `value`, whatever was given."""

        def fault(original, self, *args):
            setattr(self, name, value)
            return original(self, *args)

        return fault

    def threshold_of_zero(original, self, masks, mask_threshold=0.0):
        return original(self, masks)

    drawn = to_text.StableDiffusionTask, to_text.VersatileDiffusionDualGuidedTask
    heard = {
        f"{name} of the recording not passed on": wrapped(ears.AudioASRTask, "_run_model", lost(name))
        for name in ("task", "sample_rate", "config", "ckpt_path", "model")
    }
    said = {
        f"{name} of the speech not passed on": wrapped(mouth.AudioTTSTask, "_run_model", lost(name))
        for name in ("output", "spk_id", "tones_dict", "speaker_dict", "voc_stat", "lang")
    }
    return {
        "models/test_groundingdino.py": {
            f"{name} ignored": wrapped(gd.GroudingDinoImageProcessor, "preprocess", dropped(name))
            for name in ("size", "image_mean", "image_std", "do_normalize")
        }
        | {"longest text ignored": wrapped(gd.GroudingDinoTextProcessor, "__call__", set_before("max_words", 256))},
        "models/test_sam.py": {
            **{
                f"{name} ignored": wrapped(sam.SamImageProcessor, "preprocess", dropped(name))
                for name in ("image_mean", "image_std", "image_format")
            },
            "threshold of the masks ignored": wrapped(sam.SamProcessor, "postprocess_masks", threshold_of_zero),
        },
        "appflow/test_auto_label.py": {
            "text model of the caption ignored": wrapped(
                eyes.Blip2CaptionTask, "_construct_processor", set_before("_text_model", "facebook/opt-2.7b")
            ),
            "kind of prompt of SAM ignored": wrapped(det.OpenSetSegTask, "_construct_model", set_before("_input_type", "boxs")),
            "point ignored": wrapped(det.OpenSetSegTask, "_preprocess", on_input("points", lambda p: p and [8, 8], missing=None)),
            "box_threshold a little higher": wrapped(det.OpenSetDetTask, "_postprocess", shifted("_box_threshold", 0.05)),
        },
        "appflow/test_text2image.py": {
            "guidance_scale ignored": wrapped(drawn[0], "_run_model", without("_guidance_scale", 7.5)),
            "height and width exchanged": wrapped(drawn[0], "_run_model", height_for_width),
            "width ignored": wrapped(drawn[0], "_run_model", without("_width", 48)),
        },
        "appflow/test_dual_guided.py": {
            "text_to_image_strength ignored": wrapped(drawn[1], "_run_model", without("_text_to_image_strength", 0.75)),
            "text_to_image_strength turned round": wrapped(drawn[1], "_run_model", strength_turned_round),
        },
        "appflow/test_image_inpainting.py": {
            "inpainting_resize ignored": wrapped(paint.StableDiffusionInpaintTask, "_preprocess", without("_resize", (32, 32)))
        },
        "appflow/test_text2video.py": {
            "fewer steps where none are given": wrapped(video.TextToVideoSDTask, "_preprocess", usual("num_inference_steps", 5))
        },
        "appflow/test_audio_caption.py": heard,
        "appflow/test_audio_chat.py": said,
        "appflow/test_music_generation.py": {
            "shorter where no length is given": wrapped(
                music.AudioLDMPipelineTask, "_run_model", usual("audio_length_in_s", 0.064)
            ),
            "more steps where none are given": wrapped(music.AudioLDMPipelineTask, "_run_model", usual("num_inference_steps", 50)),
            "options of the answer ignored": wrapped(eyes.MiniGPT4Task, "_run_model", limited_to(24)),
        },
    }


def height_for_width(original, self, inputs):
    with mock.patch.object(self, "_height", self._width), mock.patch.object(self, "_width", self._height):
        return original(self, inputs)


def strength_turned_round(original, self, inputs):
    with mock.patch.object(self, "_text_to_image_strength", 1 - self._text_to_image_strength):
        return original(self, inputs)


def limited_to(length):
    """The options of an answer are the task's own, whatever was given, and `length` is the longest."""
    return lambda original, self, inputs: original(
        self, {**inputs, "generate_kwargs": {**self._generate_kwargs, "max_length": length}}
    )


def shifted(name, by):
    """The attribute `name` is `by` more."""

    def fault(original, self, inputs):
        with mock.patch.object(self, name, getattr(self, name) + by):
            return original(self, inputs)

    return fault


def first_kept(original, self, inputs):
    """Every call gives what the first one gave."""
    return dict(self.__dict__.setdefault("_kept", original(self, inputs)))


def further():
    """What is kept from the call before, moved by one, brighter by a step, rounded, of another type, or not the same twice."""
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

    def moved(image):
        return Image.fromarray(np.roll(np.asarray(image), 1, axis=1))

    def brighter(image):
        return image.point(lambda value: min(255, value + 1))

    def noisy(array):
        array = np.asarray(array)
        return array + np.random.default_rng().normal(0, 1e-3, array.shape).astype(array.dtype)

    def at_half_the_rate(original, self, inputs):
        outputs = original(self, inputs)
        samples, rate = soundfile.read(outputs["audio"])
        soundfile.write(outputs["audio"], samples[::2], rate // 2)
        return outputs

    def twice_the_first(original, self, inputs):
        outputs = original(self, inputs)
        return {**outputs, "boxes": outputs["boxes"][[0] * len(outputs["boxes"])]}

    def one_score(original, self, inputs):
        outputs = original(self, inputs)
        return {**outputs, "labels": [label.rpartition("(")[0] + "(0.99)" for label in outputs["labels"]]}

    def every_word_sees_all(original, self, *args):
        mask, positions, phrases = original(self, *args)
        return mask == mask, positions, phrases

    def one_logit_for_another(original, *args, **inputs):
        result = original(*args, **inputs)
        return {**result, "pred_logits": result["pred_logits"][:, ::-1]}

    def padded_before(original, self, images, **options):
        import paddle

        return paddle.roll(original(self, images, **options), 1, axis=-1)

    def drawn(task):
        return {
            "first picture drawn again": wrapped(task, "_run_model", first_kept),
            "picture moved by one pixel": wrapped(task, "_run_model", on_result(moved)),
            "picture brighter by one step": wrapped(task, "_run_model", on_result(brighter)),
        }

    heard = {
        "first recording heard again": wrapped(ears.AudioASRTask, "_run_model", first_kept),
        "capitals lost": wrapped(ears.AudioASRTask, "_postprocess", lambda o, s, i: turned(o(s, i), "prompt", str.lower)),
        "last letter lost": wrapped(chat.ChatGlmTask, "_postprocess", lambda o, s, i: turned(o(s, i), "prompt", lambda t: t[:-1])),
    }
    return {
        "models/test_groundingdino.py": {
            "every word sees all others": wrapped(
                gd.GroudingDinoTextProcessor, "generate_masks_with_special_tokens_and_transfer_map", every_word_sees_all
            ),
            "logits of other boxes": wrapped(GroundingDinoModel, "forward", one_logit_for_another),
            "full stop not added": wrapped(gd.GroudingDinoTextProcessor, "pre_caption", lambda o, s, text: text),
        },
        "models/test_sam.py": {
            "pixels moved by one": wrapped(sam.SamImageProcessor, "preprocess", padded_before),
            "x and y of a box exchanged": wrapped(
                sam.SamPromptProcessor, "apply_boxes", lambda o, s, boxes, size: o(s, boxes[:, [1, 0, 3, 2]], size)
            ),
            "only the first box": wrapped(
                SamModel, "prompt_forward_box", lambda o, s, x=None, box_paddle=None: o(s, x, box_paddle[:, :1])
            ),
        },
        "appflow/test_auto_label.py": {
            "boxes moved by one pixel": wrapped(
                det.OpenSetDetTask, "_postprocess", lambda o, s, i: turned(o(s, i), "boxes", lambda b: b + 1)
            ),
            "first box for all": wrapped(det.OpenSetDetTask, "_postprocess", twice_the_first),
            "one score for all": wrapped(det.OpenSetDetTask, "_postprocess", one_score),
            "mask moved by one pixel": wrapped(
                det.OpenSetSegTask,
                "_postprocess",
                lambda o, s, i: turned(o(s, i), "seg_masks", lambda m: m.astype("int32").roll(1, -1).astype("bool")),
            ),
            "first caption kept": wrapped(eyes.Blip2CaptionTask, "_postprocess", first_kept),
            "tags with a space": wrapped(
                eyes.Blip2CaptionTask, "_generate_tags", lambda o, self, text: o(self, text).replace(",", ", ")
            ),
        },
        "appflow/test_text2video.py": {
            "first video kept": wrapped(video.TextToVideoSDTask, "_run_model", first_kept),
            "frames begin one later": wrapped(video.TextToVideoSDTask, "_run_model", on_result(lambda r: [*r[1:], r[0]])),
            "last frame brighter by one step": wrapped(
                video.TextToVideoSDTask, "_run_model", on_result(lambda r: [*r[:-1], np.minimum(r[-1], 254) + np.uint8(1)])
            ),
        },
        "appflow/test_audio_caption.py": heard,
        "appflow/test_audio_chat.py": {
            **heard,
            "speech at half the rate": wrapped(mouth.AudioTTSTask, "_run_model", at_half_the_rate),
            "speech louder by a hundredth": wrapped(mouth.AudioTTSTask, "_run_model", spoken(lambda s: np.clip(1.01 * s, -1, 1))),
        },
        "appflow/test_music_generation.py": {
            "first sound kept": wrapped(music.AudioLDMPipelineTask, "_run_model", first_kept),
            "sound not the same twice": wrapped(music.AudioLDMPipelineTask, "_run_model", on_result(noisy)),
            "sound of twice the precision": wrapped(
                music.AudioLDMPipelineTask, "_run_model", on_result(lambda r: r.astype("float64"))
            ),
            "first answer kept": wrapped(eyes.MiniGPT4Task, "_postprocess", first_kept),
            "last letter of the answer lost": wrapped(eyes.MiniGPT4Task, "_postprocess", on_text(lambda text: text[:-1])),
        },
        "appflow/test_text2image.py": drawn(to_text.StableDiffusionTask),
        "appflow/test_upscaling.py": drawn(to_image.StableDiffusionUpscaleTask),
        "appflow/test_image2image.py": drawn(to_image.StableDiffusionImg2ImgTask),
        "appflow/test_dual_guided.py": drawn(to_text.VersatileDiffusionDualGuidedTask),
        "appflow/test_image_inpainting.py": {
            **drawn(paint.StableDiffusionInpaintTask),
            "size of the picture before": wrapped(paint.StableDiffusionInpaintTask, "_postprocess", without("_org_size", (64, 64))),
        },
    }


def on_text(change):
    """The text of the result is changed by `change`."""
    return lambda original, self, inputs: turned(original(self, inputs), "result", change)
