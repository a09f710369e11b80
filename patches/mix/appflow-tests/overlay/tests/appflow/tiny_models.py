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

"""
Tiny seeded model sets for the applications of paddlemix.appflow.

Each set stands below a root folder under the name that Appflow asks for, so that with the root as working directory
every `from_pretrained` of a task finds its own model as a local folder and downloads nothing:

    python tests/appflow/tiny_models.py --out tiny                                        # all
    python tests/appflow/tiny_models.py --out tiny stabilityai/stable-diffusion-2         # some

The networks are the real classes in a few hundred kilobytes; the weights are random numbers of a fixed seed. What they
draw or say means nothing, but it is the same everywhere and depends on prompt, image and seed.
"""

import argparse
import json
import os
import zlib

import numpy as np
import paddle
import paddle.nn as nn

WORDS = [
    "a",
    "an",
    "the",
    "dog",
    "cat",
    "bus",
    "ball",
    "house",
    "red",
    "green",
    "blue",
    "photo",
    "of",
    "on",
    "and",
    ".",
]


def seed_parameters(layer, seed=0, gain=1.0):
    """
    Give every parameter of `layer` numbers that follow from its name and `seed` alone. Kernels are scaled by their
    fan-in, norms stay near one, so that signals neither vanish nor explode.
    """
    tables = {id(sub.weight) for sub in layer.sublayers(True) if isinstance(sub, nn.Embedding)}
    for name, parameter in layer.named_parameters():
        state = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
        value = state.standard_normal(parameter.shape)
        if id(parameter) in tables:
            value = 0.5 * value
        elif len(parameter.shape) < 2:
            value = 0.1 * value + (1.0 if name.endswith("weight") else 0.0)
        else:
            fan_in = parameter.shape[0] if len(parameter.shape) == 2 else int(np.prod(parameter.shape[1:]))
            value = gain * value / fan_in**0.5
        parameter.set_value(value.astype("float32"))
    layer.eval()
    return layer


def write_json(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)


def write_lines(path, lines):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def byte_pairs(folder, specials, words=()):
    """vocab.json and merges.txt of a byte level tokenizer without merges: every byte is a token; `words` it only writes."""
    from paddlenlp.transformers.gpt.tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = [*specials, *letters, *(letter + "</w>" for letter in letters), *words]
    write_json(os.path.join(folder, "vocab.json"), {token: i for i, token in enumerate(tokens)})
    write_lines(os.path.join(folder, "merges.txt"), ["#version: 0.2"])
    return len(tokens)


def clip_tokenizer(folder):
    from paddlenlp.transformers import CLIPTokenizer

    size = byte_pairs(folder, ["<|startoftext|>", "<|endoftext|>"])
    names = [os.path.join(folder, name) for name in ("vocab.json", "merges.txt")]
    return CLIPTokenizer(*names, model_max_length=77), size


def bert_words(folder):
    """vocab.txt and its configuration of a word piece tokenizer: a few words, else letters."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += list(dict.fromkeys(WORDS + letters)) + ["##" + letter for letter in letters]
    write_lines(os.path.join(folder, "vocab.txt"), tokens)
    write_json(
        os.path.join(folder, "tokenizer_config.json"), {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    )
    return len(tokens)


def character_pieces(path, specials=()):
    """A sentencepiece model whose pieces are `specials`, after them letters, as the file `path`."""
    import sentencepiece

    letters = "".join(chr(code) for code in range(33, 127) if chr(code) not in "<>[]|")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([" ".join(WORDS), " ".join(letters)]),
            model_writer=file,
            model_type="char",
            vocab_size=400,
            hard_vocab_limit=False,
            character_coverage=1.0,
            user_defined_symbols=specials,
            pad_id=3,
            minloglevel=2,
        )


def language_data(root):
    """
    What the applications read from NLTK, below `root`/nltk_data: a pronouncing dictionary, a tagger that knows the
    nouns among `WORDS` and takes what it does not know for one, a splitter of sentences, and the lemmas of WordNet.
    """
    data = os.path.join(root, "nltk_data")
    entries = ["A 1 AH0", "DOG 1 D AO1 G", "RED 1 R EH1 D", "THE 1 DH AH0", "BLUE 1 B L UW1", "HOUSE 1 HH AW1 S"]
    write_lines(os.path.join(data, "corpora", "cmudict", "cmudict"), entries)
    kinds = {**dict.fromkeys(["a", "an", "the"], "DT"), **dict.fromkeys(["red", "green", "blue"], "JJ")}
    kinds.update({"of": "IN", "on": "IN", "and": "CC", ".": "."})
    tagger = os.path.join(data, "taggers", "averaged_perceptron_tagger_eng", "averaged_perceptron_tagger_eng")
    write_json(f"{tagger}.weights.json", {"bias": {"NN": 1.0, "VB": 0.0}})
    write_json(f"{tagger}.tagdict.json", kinds)
    write_json(f"{tagger}.classes.json", ["NN", "VB", *sorted(set(kinds.values()))])
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        write_lines(os.path.join(data, "tokenizers", "punkt_tab", "english", name), [])
    words = os.path.join(data, "corpora", "wordnet")
    for kind in ("noun", "verb", "adj", "adv"):
        lemmas = [word for word in WORDS if word not in kinds] if kind == "noun" else []
        write_lines(os.path.join(words, f"index.{kind}"), [f"{lemma} n 1 0 1 0 00000000" for lemma in lemmas])
        write_lines(os.path.join(words, f"{kind}.exc"), [])
        write_lines(os.path.join(words, f"data.{kind}"), ["  WordNet 3.0 Copyright"])
    for name in ("lexnames", "index.sense"):
        write_lines(os.path.join(words, name), [])


def blip2(root, name):
    """
    Picture to caption: BLIP-2's image encoder at 32 x 32 pixels, Q-Former and OPT of two layers. The captions are made
    of `WORDS` and their plurals: of OPT's 50,272 tokens, whose number is built into the end of a caption, all other rows are zero.
    """
    from paddlemix.models.blip2.configuration import Blip2Config
    from paddlemix.models.blip2.modeling import Blip2ForConditionalGeneration
    from paddlemix.processors.blip_processing import BlipImageProcessor, BlipTextProcessor
    from paddlenlp.transformers import OPTConfig, OPTForCausalLM

    language_data(root)
    folder, opt = os.path.join(root, name), os.path.join(root, "facebook/opt-2.7b")
    words = ["\u0120" + word for word in WORDS + ["dogs", "cats", "buses", "balls", "houses", "photos"]]
    known = byte_pairs(opt, ["<s>", "<pad>", "</s>", "<unk>"], words)
    specials = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "<pad>"}
    write_json(os.path.join(opt, "tokenizer_config.json"), {"tokenizer_class": "GPTTokenizer", **specials})
    text = OPTConfig(
        vocab_size=50272,
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
    )
    language = seed_parameters(OPTForCausalLM(text), 9, gain=2.0)
    for parameter in {id(p): p for p in language.parameters() if p.shape[0] == 50272}.values():
        rows = parameter.numpy()
        rows[known:], rows[: known - len(words)] = 0, 0.1 * rows[: known - len(words)]
        parameter.set_value(rows)
    language.save_pretrained(opt)
    config = Blip2Config(
        vision_config=dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0),
        qformer_config=dict(
            vocab_size=32,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            encoder_hidden_size=32,
            num_query_tokens=4,
            add_cross_attention=True,
            cross_attention_freq=1,
            type_vocab_size=2,
        ),
        text_config="facebook/opt-2.7b",
        freeze_vit=False,  # what is frozen is not saved
    )
    with working_directory(root):
        model = Blip2ForConditionalGeneration(config)
    for seed, part in enumerate((model.visual_encoder, model.Qformer)):
        seed_parameters(part, seed)
    model.save_pretrained(folder)
    processor = os.path.join(folder, "processor", "eval")
    BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(processor)
    BlipTextProcessor(do_caption=True).save_pretrained(processor)


def minigpt4(root, name):
    """Picture and question to answer: an image encoder at 32 x 32 pixels, Q-Former and Llama of two layers, letters as words."""
    from paddlemix.models.minigpt4 import MiniGPT4Config, MiniGPT4ForConditionalGeneration
    from paddlemix.processors import MiniGPT4ImageProcessor
    from paddlenlp.transformers import LlamaTokenizer

    folder = os.path.join(root, name)
    pieces = os.path.join(folder, "sentencepiece.bpe.model")
    character_pieces(pieces)
    tokenizer = LlamaTokenizer(pieces)
    tokenizer.save_pretrained(folder)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config = MiniGPT4Config(
        vision_config=dict(image_size=32, patch_size=8, **sizes),
        qformer_config=dict(vocab_size=32, **sizes),
        text_config=dict(vocab_size=len(tokenizer), max_position_embeddings=512, **sizes),
        num_query_tokens=4,
    )
    seed_parameters(MiniGPT4ForConditionalGeneration(config), 10, gain=2.0).save_pretrained(folder)
    MiniGPT4ImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def grounding_dino(root, name):
    """
    The detector. It asks for its image backbone and its text encoder under their own names; at this size the latter
    goes by `roberta-base`, since the sizes of `bert-base-uncased` are built into PaddleNLP. Either way the layers are
    paddlemix.models.groundingdino.bert_model.BertModel.
    """
    from paddlemix.models.groundingdino.backbone.swin_transformer import SwinTransformerConfig, SwinTransformerModel
    from paddlemix.models.groundingdino.configuration import GroundingDinoConfig
    from paddlemix.models.groundingdino.modeling import GroundingDinoModel
    from paddlemix.processors import GroudingDinoImageProcessor, GroudingDinoTextProcessor
    from paddlenlp.transformers import RobertaConfig, RobertaModel

    folder = os.path.join(root, name)
    vocab_size = bert_words(folder)
    swin = SwinTransformerConfig(
        embed_dim=8,
        depths=[2, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        drop_path_rate=0.0,
        out_indices=[1, 2, 3],
        norm_layer=None,
    )
    seed_parameters(SwinTransformerModel(swin)).save_pretrained(os.path.join(root, "Swintransformer/swin_T_224_1k"))
    text = RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        pad_token_id=0,
    )
    seed_parameters(RobertaModel(text)).save_pretrained(os.path.join(root, "roberta-base"))
    config = GroundingDinoConfig(
        text_encoder_type="roberta-base",
        enc_layers=1,
        dec_layers=1,
        dim_feedforward=64,
        hidden_dim=256,  # built into the position embedding of the text
        nheads=4,
        num_queries=12,
    )
    with working_directory(root):
        model = GroundingDinoModel(config)
    seed_parameters(model).save_pretrained(folder)
    GroudingDinoImageProcessor(size=64).save_pretrained(folder)
    GroudingDinoTextProcessor(max_words=256).save_pretrained(folder)


def sam(root, name):
    """The segmenter: 64 x 64 pixels in patches of 8."""
    from paddlemix.models.sam.configuration import SamConfig
    from paddlemix.models.sam.modeling import SamModel
    from paddlemix.processors import SamImageProcessor, SamPromptProcessor

    folder = os.path.join(root, name)
    config = SamConfig(
        prompt_embed_dim=32,
        image_size=64,
        vit_patch_size=8,
        encoder_embed_dim=32,
        encoder_depth=2,
        encoder_num_heads=2,
        encoder_global_attn_indexes=[1],
        input_type="boxs",
    )
    model = seed_parameters(SamModel(config), 1)
    # the frequencies of its positions are no parameter; what is drawn for them depends on the initializers, which PaddleSpeech changes
    frequencies = model.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
    frequencies.set_value(np.random.RandomState(1).standard_normal(frequencies.shape).astype("float32"))
    model.save_pretrained(folder)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    SamImageProcessor(size=64, image_mean=mean, image_std=std).save_pretrained(folder)
    SamPromptProcessor(size=64).save_pretrained(folder)


def clip_text(vocab_size, projection=None):
    from paddlenlp.transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=projection or 32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return seed_parameters((CLIPTextModelWithProjection if projection else CLIPTextModel)(config))


def unet(seed=1, **changes):
    from ppdiffusers import UNet2DConditionModel

    sizes = dict(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    return seed_parameters(UNet2DConditionModel(**{**sizes, **changes}), seed)


def vae(blocks=2, channels=3, **changes):
    from ppdiffusers import AutoencoderKL

    model = AutoencoderKL(
        block_out_channels=[16] * blocks,
        in_channels=channels,
        out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * blocks,
        up_block_types=["UpDecoderBlock2D"] * blocks,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
        **changes,
    )
    return seed_parameters(model, 2)


def ddim(**changes):
    from ppdiffusers import DDIMScheduler

    sizes = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    return DDIMScheduler(**{**sizes, "set_alpha_to_one": False, "steps_offset": 1, **changes})


def stable_diffusion(root, name, pipeline="StableDiffusionPipeline", channels=4):
    """Text to image and image to image; with 9 channels into the U-Net, inpainting."""
    import ppdiffusers

    folder = os.path.join(root, name)
    tokenizer, vocab_size = clip_tokenizer(os.path.join(folder, "tokenizer"))
    getattr(ppdiffusers, pipeline)(
        vae=vae(),
        text_encoder=clip_text(vocab_size),
        tokenizer=tokenizer,
        unet=unet(in_channels=channels),
        scheduler=ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def inpainting(root, name):
    stable_diffusion(root, name, "StableDiffusionInpaintPipeline", channels=9)


def image_to_image(root, name):
    stable_diffusion(root, name, "StableDiffusionImg2ImgPipeline")


def upscaling(root, name):
    """Four times the size: a decoder of three levels, the small picture beside the latent, a noise level as class."""
    from ppdiffusers import DDPMScheduler, StableDiffusionUpscalePipeline

    folder = os.path.join(root, name)
    tokenizer, vocab_size = clip_tokenizer(os.path.join(folder, "tokenizer"))
    StableDiffusionUpscalePipeline(
        vae=vae(blocks=3, scaling_factor=0.08333),
        text_encoder=clip_text(vocab_size),
        tokenizer=tokenizer,
        unet=unet(in_channels=7, num_class_embeds=1000),
        low_res_scheduler=DDPMScheduler(beta_schedule="scaled_linear"),
        scheduler=ddim(prediction_type="v_prediction"),
        max_noise_level=350,
    ).save_pretrained(folder)
    # ppdiffusers cannot read back the [null, null] that it writes for a part that is left out
    index = os.path.join(folder, "model_index.json")
    with open(index, encoding="utf-8") as file:
        parts = json.load(file)
    write_json(index, {key: part for key, part in parts.items() if part != [None, None]})


def versatile(root, name):
    """
    A picture from a picture and a text: two U-Nets, whose attention the pipeline joins when it is made. The joined layer
    wants 77 tokens of text and 257 of the picture, hence 16 x 16 patches and one class token.
    """
    from paddlenlp.transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection
    from ppdiffusers import VersatileDiffusionDualGuidedPipeline
    from ppdiffusers.pipelines.versatile_diffusion.modeling_text_unet import UNetFlatConditionModel

    folder = os.path.join(root, name)
    tokenizer, vocab_size = clip_tokenizer(os.path.join(folder, "tokenizer"))
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=128,
        patch_size=8,
        projection_dim=32,
    )
    flat = UNetFlatConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=16,
        down_block_types=("DownBlockFlat", "CrossAttnDownBlockFlat"),
        up_block_types=("CrossAttnUpBlockFlat", "UpBlockFlat"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    VersatileDiffusionDualGuidedPipeline(
        tokenizer=tokenizer,
        image_feature_extractor=CLIPImageProcessor(size=128, crop_size=128),
        text_encoder=clip_text(vocab_size, projection=32),
        image_encoder=seed_parameters(CLIPVisionModelWithProjection(vision)),
        image_unet=unet(),
        text_unet=seed_parameters(flat, 3),
        vae=vae(),
        scheduler=ddim(),
    ).save_pretrained(folder)


def text_to_video(root, name):
    """Frames of 16 x 16 pixels."""
    from ppdiffusers import TextToVideoSDPipeline, UNet3DConditionModel

    folder = os.path.join(root, name)
    tokenizer, vocab_size = clip_tokenizer(os.path.join(folder, "tokenizer"))
    model = UNet3DConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    TextToVideoSDPipeline(
        vae=vae(),
        text_encoder=clip_text(vocab_size),
        tokenizer=tokenizer,
        unet=seed_parameters(model, 1),
        scheduler=ddim(),
    ).save_pretrained(folder)


MODELS = {
    "paddlemix/blip2-caption-opt2.7b": blip2,
    "miniGPT4/MiniGPT4-7B": minigpt4,
    "GroundingDino/groundingdino-swint-ogc": grounding_dino,
    "Sam/SamVitH-1024": sam,
    "stabilityai/stable-diffusion-2": stable_diffusion,
    "stabilityai/stable-diffusion-v1-5": stable_diffusion,
    "stabilityai/stable-diffusion-2-inpainting": inpainting,
    "Linaqruf/anything-v3.0": image_to_image,
    "stabilityai/stable-diffusion-x4-upscaler": upscaling,
    "shi-labs/versatile-diffusion": versatile,
    "damo-vilab/text-to-video-ms-1.7b": text_to_video,
}


class working_directory:
    """`with working_directory(path):` the working directory is `path`; afterwards what it was."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.before = os.getcwd()
        os.chdir(self.path)

    def __exit__(self, *_):
        os.chdir(self.before)


def make(root, names=None, models=MODELS):
    """
    Write the tiny sets `names` (all of `models` unless told) below the folder `root`.

    Raises:
        KeyError: a name that is not in `models`.
    """
    names = list(models) if names is None else names
    unknown = [name for name in names if name not in models]
    if unknown:
        raise KeyError(f"no tiny model set for {', '.join(unknown)}; there is: {', '.join(models)}")
    os.makedirs(root, exist_ok=True)
    root = os.path.abspath(root)
    for name in names:
        paddle.seed(0)
        models[name](root, name)


def main(models):
    """The command line of a table of sets."""
    parser = argparse.ArgumentParser(description="Write tiny seeded model sets for Appflow.")
    parser.add_argument("--out", required=True, help="folder below which the sets are written")
    parser.add_argument("names", nargs="*", metavar="NAME", help="as Appflow calls the model; all if none is given")
    arguments = parser.parse_args()
    make(arguments.out, arguments.names or None, models)


if __name__ == "__main__":
    main(MODELS)
