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
"""A tiny Kosmos-2 with a vocabulary made on the spot. Nothing is downloaded."""

import functools
import json
import os
import tempfile

import numpy as np
import paddle
import sentencepiece
from paddlemix.models.kosmos2.configuration import Kosmos2Config
from paddlemix.models.kosmos2.modeling import Kosmos2ForConditionalGeneration
from paddlemix.processors.kosmos2_processing import Kosmos2ImageProcessor, Kosmos2Processor, Kosmos2Tokenizer
from PIL import Image

SIZE, QUERIES, CELLS = 28, 4, 64
WORDS = "a red green blue yellow circle square triangle left right of above below the large small an image two and is what where It"


@functools.lru_cache(maxsize=None)
def pieces():
    """The content of a file of sentencepiece with the words of `WORDS`."""
    with tempfile.TemporaryDirectory() as folder:
        text, stem = os.path.join(folder, "words.txt"), os.path.join(folder, "pieces")
        with open(text, "w", encoding="utf-8") as stream:
            for row in range(30):
                stream.write(" ".join(np.random.default_rng(row).permutation(WORDS.split())) + " .\n")
        symbols = list("0123456789?:.,")
        sentencepiece.SentencePieceTrainer.train(
            input=text,
            model_prefix=stem,
            vocab_size=80,
            hard_vocab_limit=False,
            minloglevel=2,
            user_defined_symbols=symbols,
        )
        with open(stem + ".model", "rb") as stream:
            return stream.read()


def vocabulary(folder):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "sentencepiece.bpe.model")
    with open(path, "wb") as stream:
        stream.write(pieces())
    return path


def processor(folder, cells=CELLS, size=SIZE, **options):
    tokenizer = Kosmos2Tokenizer(vocabulary(folder), cells)
    return Kosmos2Processor(
        Kosmos2ImageProcessor(size), tokenizer, **{"num_image_tokens": QUERIES, "max_length": 64, **options}
    )


def config(vocab_size=220, **text):
    small = {"embed_dim": 32, "layers": 2, "ffn_dim": 48, "attention_heads": 4, "max_position_embeddings": 64}
    none = {"dropout": 0.0, "attention_dropout": 0.0}
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return Kosmos2Config(
        text_config={"vocab_size": vocab_size, **small, **none, **text},
        vision_config={"image_size": SIZE, "patch_size": 14, **vision},
        latent_query_num=QUERIES,
    )


def model(seed=0, spread=0.3, **options):
    """A model in eval mode whose weights are wide enough for its outputs to depend on everything."""
    paddle.seed(seed)
    made = Kosmos2ForConditionalGeneration(config(**options))
    generator = np.random.default_rng(seed)
    for name, value in made.named_parameters():
        noise = spread * generator.standard_normal(value.shape)
        value.set_value(paddle.to_tensor((noise + value.numpy() * ("norm" in name.lower())).astype("float32")))
    made.eval()
    return made


def inputs(batch=2, seed=0, length=6, padding=0, vocab_size=220):
    """Images and prompts, the first row with `padding` tokens less, padded on the left."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(4, vocab_size, [batch, length + QUERIES + 2])
    mask = np.ones_like(ids)
    place = np.zeros_like(ids)
    place[:, 2 : 2 + QUERIES] = 1
    if padding:
        short = ids[0, : ids.shape[1] - padding]
        ids[0], mask[0, :padding] = [*[1] * padding, *short], 0
        place[0] = [*[0] * padding, *place[0, : place.shape[1] - padding]]
    pixels = draw.standard_normal([batch, 3, SIZE, SIZE]).astype("float32")
    made = {"input_ids": ids, "attention_mask": mask, "image_embeds_position_mask": place, "pixel_values": pixels}
    return {key: paddle.to_tensor(value) for key, value in made.items()}


def saved(folder, seed=0):
    """Model and processor that fit each other, saved in `folder`."""
    made = processor(os.path.join(folder, "files"))
    net = model(seed, vocab_size=len(made.tokenizer))
    target = os.path.join(folder, "model")
    net.save_pretrained(target, save_function=paddle.save)
    made.save_pretrained(target)
    return target, net, made


def picture(seed=0, height=40, width=30):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, [height, width, 3]).astype("uint8"))


def hf_state(net):
    """The weights in the names and the layout of `transformers`, with the tied head."""
    linear = {name + ".weight" for name, part in net.named_sublayers() if isinstance(part, paddle.nn.Linear)}
    state = {name: value.numpy().T if name in linear else value.numpy() for name, value in net.named_parameters()}
    return {**state, "text_model.lm_head.weight": state["text_model.model.embed_tokens.weight"]}


def fairseq_state(net):
    """The same in those of microsoft/unilm, with the two buffers that its file holds."""
    made = {"gpt_model.decoder.embed_positions._float_tensor": np.zeros(1, "float32")}
    made["gpt_model.decoder.self_attn_sope.scale"] = np.zeros(4, "float32")
    for name, value in hf_state(net).items():
        for ours, theirs in (
            ("text_model.lm_head.", "gpt_model.decoder.output_projection."),
            ("text_model.model.", "gpt_model.decoder."),
            ("image_to_text_projection.", "img_connector."),
            ("vision_model.model.embeddings.class_embedding", "img_model.visual.class_embedding"),
            ("vision_model.model.embeddings.position_embedding.weight", "img_model.visual.positional_embedding"),
            ("vision_model.model.embeddings.patch_embedding.", "img_model.visual.conv1."),
            ("vision_model.model.pre_layrnorm.", "img_model.visual.ln_pre."),
            ("vision_model.model.post_layernorm.", "img_model.visual.ln_post."),
            ("vision_model.model.encoder.layers.", "img_model.visual.transformer.resblocks."),
        ):
            if name.startswith(ours):
                new = theirs + name[len(ours) :]
                break
        if "resblocks" in new:
            for ours, theirs in (("self_attn", "ts_attn"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2")):
                new = new.replace(ours, theirs)
            new = new.replace("mlp.fc1", "mlp.c_fc").replace("mlp.fc2", "mlp.c_proj")
        made[new] = value
    return made


def write_published(folder, made, config_of):
    """The files of the published model beside its weights: configuration and processor."""
    os.makedirs(folder, exist_ok=True)
    made.tokenizer.save_pretrained(folder)
    values = {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}, "use_square_size": True}
    values.update(do_resize=True, do_center_crop=True, image_processor_type="CLIPImageProcessor", resample=3)
    values.update(image_mean=made.image_processor.image_mean, image_std=made.image_processor.image_std)
    with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as stream:
        json.dump(values, stream)
    options = {"clean_up_tokenization_spaces": True, "tokenizer_class": "XLMRobertaTokenizer"}
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as stream:
        json.dump(options, stream)
    content = {**config_of.to_dict(), "architectures": ["Kosmos2ForConditionalGeneration"], "torch_dtype": "float32"}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as stream:
        json.dump(content, stream, default=str)
