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
Tiny seeded model sets for the applications of paddlemix.appflow that hear and speak, as tiny_models.py makes them for
those that draw:

    python tests/appflow/tiny_audio_models.py --out tiny                     # all
    python tests/appflow/tiny_audio_models.py --out tiny THUDM/chatglm-6b    # some

Whisper's executor (PaddleSpeech) takes its model from archives of its own table and nothing else. The set `whisper`
is these archives, where the executor keeps what it downloaded; `speech_home` tells it their check sums.
"""

import hashlib
import os
import tarfile
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import paddle
from tiny_models import (
    byte_pairs,
    character_pieces,
    ddim,
    language_data,
    main,
    seed_parameters,
    unet,
    vae,
    write_json,
    write_lines,
)

WHISPER = "whisper-large-16k"


def archive(path, folder):
    """The contents of `folder` as the tar archive `path`."""
    with tarfile.open(path, "w") as file:
        for name in sorted(os.listdir(folder)):
            file.add(os.path.join(folder, name), name)


def whisper(root, name):
    """
    Speech to text: 32 dimensions, one layer, 24 tokens of context, bytes as words. The printable ones are made likely:
    else the 1501 time stamps, taken together, would always win.
    """
    import librosa
    from paddlenlp.transformers.gpt.tokenizer import bytes_to_unicode
    from paddlespeech.s2t.models.whisper import ModelDimensions, Whisper
    from paddlespeech.s2t.models.whisper.tokenizer import build_tokenizer

    folder = os.path.join(root, name)
    letters = list(bytes_to_unicode().items())
    words = os.path.join(folder, "resource", "assets", "gpt2")
    tokens = [letter for _, letter in letters] + ["<|endoftext|>"]
    write_json(os.path.join(words, "vocab.json"), {token: i for i, token in enumerate(tokens)})
    write_lines(os.path.join(words, "merges.txt"), ["#version: 0.2"])
    # the executor takes the second special token for the start: there must be one other, not a second form of it
    write_json(os.path.join(words, "tokenizer_config.json"), {"tokenizer_class": "GPTTokenizer", "pad_token": None})
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    np.savez_compressed(os.path.join(folder, "resource", "assets", "mel_filters.npz"), mel_80=filters)
    tokenizer = build_tokenizer(os.path.join(folder, "resource"))
    sizes = dict(
        n_mels=80,
        n_audio_ctx=1500,
        n_audio_state=32,
        n_audio_head=2,
        n_audio_layer=1,
        n_vocab=tokenizer.all_special_ids[-1] + 1 + 1501,
        n_text_ctx=24,
        n_text_state=32,
        n_text_head=2,
        n_text_layer=1,
    )
    model = seed_parameters(Whisper(ModelDimensions(**sizes)), 4)
    # what is heard must outweigh what was said before: else each token repeats the last one, whatever the sound
    attention = model.decoder.blocks[0].cross_attn
    louder = [(attention.out.weight, 30), (attention.query.weight, 6), (attention.key.weight, 6)]
    louder += [
        (model.encoder.conv1.weight, 3),
        (model.encoder.conv2.weight, 3),
        (model.decoder.positional_embedding, 3),
    ]
    for parameter, gain in louder:
        parameter.set_value(gain * parameter)
    table = model.decoder.token_embedding.weight
    rows = np.full((len(table), 1), 0.1)
    rows[[i for i, (byte, _) in enumerate(letters) if 32 < byte < 127]] = 2.0
    table.set_value(table.numpy() * rows.astype("float32"))

    os.makedirs(os.path.join(folder, "model"), exist_ok=True)
    state = {**model.state_dict(), "dims": sizes}
    paddle.save(state, os.path.join(folder, "model", "whisper-large-model.pdparams"))
    config = {
        **dict.fromkeys(["verbose", "temperature_increment_on_fallback", "compression_ratio_threshold", "best_of"]),
        **dict.fromkeys(["logprob_threshold", "beam_size", "patience", "length_penalty", "initial_prompt"]),
        "no_speech_threshold": None,
        "temperature": 0.0,
        "condition_on_previous_text": False,
    }
    write_json(os.path.join(folder, "model", "whisper.yaml"), config)
    home = os.path.join(folder, "home", WHISPER, "1.3")
    for part in (home, os.path.join(folder, "home", "1.3", "whisper")):
        os.makedirs(part, exist_ok=True)
    archive(os.path.join(home, "whisper-large-model.tar"), os.path.join(folder, "model"))
    assets = os.path.join(folder, "home", "1.3", "whisper", "assets.tar")
    with tarfile.open(assets, "w") as file:
        file.add(os.path.join(folder, "resource", "assets"), "assets")


@contextmanager
def speech_home(folder):
    """
    Inside, PaddleSpeech's home and its table of archives are those of the set `whisper` in `folder`. Its own code looks
    for the archives, checks their sums, unpacks and loads them.
    """
    from paddlespeech.cli.whisper import infer
    from paddlespeech.resource import pretrained_models, resource

    home = os.path.join(os.path.abspath(folder), "home")
    model = os.path.join(home, WHISPER, "1.3", "whisper-large-model.tar")
    assets = os.path.join(home, "1.3", "whisper", "assets.tar")

    def digest(path):
        with open(path, "rb") as file:
            return hashlib.md5(file.read()).hexdigest()

    entry = {
        "url": "https://tiny.invalid/whisper-large-model.tar",
        "md5": digest(model),
        "cfg_path": "whisper.yaml",
        "ckpt_path": "whisper-large-model",
        "resource_data": "https://tiny.invalid/assets.tar",
        "resource_data_md5": digest(assets),
    }
    with ExitStack() as stack:
        table = pretrained_models.whisper_dynamic_pretrained_models
        stack.enter_context(mock.patch.dict(table, {WHISPER: {"1.3": entry}}))
        stack.enter_context(mock.patch.object(resource, "MODEL_HOME", home))
        stack.enter_context(mock.patch.object(infer, "DATA_HOME", home))
        yield


def chatglm(root, name):
    """Text to text: two layers of 32 dimensions, letters as words."""
    from paddlenlp.transformers import ChatGLMConfig, ChatGLMForCausalLM, ChatGLMTokenizer

    folder = os.path.join(root, name)
    specials = ["<n>", "<|tab|>", *(f"<|blank_{i}|>" for i in range(2, 5)), "[MASK]", "[gMASK]", "<sop>", "<eop>"]
    character_pieces(os.path.join(folder, "ice_text.model"), specials)
    words = {"tokenizer_class": "ChatGLMTokenizer", "num_image_tokens": 0}
    write_json(os.path.join(folder, "tokenizer_config.json"), words)
    tokenizer = ChatGLMTokenizer.from_pretrained(folder)
    config = ChatGLMConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        inner_hidden_size=64,
        max_sequence_length=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.mask_token_id,
        gmask_token_id=tokenizer.gmask_token_id,
    )
    seed_parameters(ChatGLMForCausalLM(config), 5, gain=2.0).save_pretrained(folder)


def audioldm(root, name):
    """Text to sound: mel spectrograms of 8 bands, 4 samples a frame, 16 kHz."""
    from paddlenlp.transformers import (
        ClapTextConfig,
        ClapTextModelWithProjection,
        RobertaBPETokenizer,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
    )
    from ppdiffusers import AudioLDMPipeline

    folder = os.path.join(root, name)
    size = byte_pairs(os.path.join(folder, "tokenizer"), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    files = [os.path.join(folder, "tokenizer", file) for file in ("vocab.json", "merges.txt")]
    text = ClapTextConfig(
        vocab_size=size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=32,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
    )
    sound = SpeechT5HifiGanConfig(
        model_in_dim=8,
        sampling_rate=16000,
        upsample_initial_channel=16,
        upsample_rates=[2, 2],
        upsample_kernel_sizes=[4, 4],
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        normalize_before=False,
    )
    network = unet(
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=32,
        class_embeddings_concat=True,
        cross_attention_dim=(16, 32),
    )
    AudioLDMPipeline(
        vae=vae(channels=1),
        text_encoder=seed_parameters(ClapTextModelWithProjection(text)),
        tokenizer=RobertaBPETokenizer(*files, model_max_length=77),
        unet=network,
        scheduler=ddim(),
        vocoder=seed_parameters(SpeechT5HifiGan(sound), 6),
    ).save_pretrained(folder)


def speech(root, name):
    """
    Text to speech: FastSpeech2 and Parallel WaveGAN of 16 channels, three frames a phoneme, 4 samples a frame.
    """
    from paddlespeech.t2s.models.fastspeech2 import FastSpeech2
    from paddlespeech.t2s.models.parallel_wavegan import PWGGenerator

    folder = os.path.join(root, name)
    language_data(root)
    vowels = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
    consonants = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
    phones = ["<pad>", "<unk>", "sp", *(vowel + stress for vowel in vowels for stress in "012"), *consonants]
    write_lines(os.path.join(folder, "phones.txt"), [f"{phone} {i}" for i, phone in enumerate(phones)])
    sizes = dict(
        adim=16,
        aheads=2,
        elayers=1,
        eunits=32,
        dlayers=1,
        dunits=32,
        postnet_layers=2,
        postnet_chans=16,
        duration_predictor_chans=16,
        energy_predictor_chans=16,
        pitch_predictor_chans=16,
        energy_embed_kernel_size=1,
        pitch_embed_kernel_size=1,
        use_batch_norm=False,
    )
    acoustic = seed_parameters(FastSpeech2(idim=len(phones), odim=8, **sizes), 7)
    acoustic.duration_predictor.linear.bias.set_value(np.array([np.log(4.0)], "float32"))
    paddle.save({"main_params": acoustic.state_dict()}, os.path.join(folder, "am.pdz"))
    write_json(os.path.join(folder, "am.yaml"), {"n_mels": 8, "fs": 16000, "model": sizes})
    sizes = dict(
        layers=4,
        stacks=2,
        residual_channels=8,
        gate_channels=16,
        skip_channels=8,
        aux_channels=8,
        aux_context_window=0,
        upsample_scales=[2, 2],
        use_weight_norm=False,
    )
    sound = seed_parameters(PWGGenerator(**sizes), 8, gain=1.5)
    paddle.save({"generator_params": sound.state_dict()}, os.path.join(folder, "voc.pdz"))
    write_json(os.path.join(folder, "voc.yaml"), {"generator_params": sizes})
    for part in ("am", "voc"):
        np.save(os.path.join(folder, f"{part}.npy"), np.stack([np.zeros(8), np.ones(8)]).astype("float32"))


def speech_inputs(folder):
    """What Appflow passes on to PaddleSpeech so that it speaks with the set `speech` in `folder`."""
    names = {"am_config": "am.yaml", "am_ckpt": "am.pdz", "am_stat": "am.npy", "phones_dict": "phones.txt"}
    names.update(voc_config="voc.yaml", voc_ckpt="voc.pdz", voc_stat="voc.npy")
    files = {key: os.path.join(os.path.abspath(folder), name) for key, name in names.items()}
    return {**files, "am": "fastspeech2_ljspeech", "voc": "pwgan_ljspeech", "lang": "en"}


MODELS = {"whisper": whisper, "THUDM/chatglm-6b": chatglm, "speech": speech, "cvssp/audioldm": audioldm}


if __name__ == "__main__":
    main(MODELS)
