"""A small LLaMA in GGUF whose bytes are written here, from the description of the format and without the package that reads it.

What `proving.published.read_gguf` and the change's `convert_gguf` make of it is compared with what was written.
"""

import os
import struct

import numpy as np

HIDDEN, HEADS, KV_HEADS, INNER, BLOCK = 32, 4, 2, 64, 32
FLOAT32, FLOAT16, Q4_1, Q8_0 = 0, 1, 3, 8  # types of tensors
LETTERS = [chr(c) for c in range(33, 127)] + ["\u0120", "\u010a", "he"]
FIELDS = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": HIDDEN,
    "llama.feed_forward_length": INNER,
    "llama.attention.head_count": HEADS,
    "llama.attention.head_count_kv": KV_HEADS,
    "llama.rope.freq_base": 10000.0,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["<|end|>"] + LETTERS,
    "tokenizer.ggml.token_type": [3] + [1] * len(LETTERS),
    "tokenizer.ggml.merges": ["h e"],
    "tokenizer.ggml.bos_token_id": 0,
    "tokenizer.ggml.eos_token_id": 0,
}
KV = HIDDEN // HEADS * KV_HEADS
SHAPES = {
    "token_embd.weight": (len(LETTERS) + 1, HIDDEN, Q8_0),
    "output_norm.weight": (HIDDEN, FLOAT32),
    "blk.0.attn_norm.weight": (HIDDEN, FLOAT32),
    "blk.0.attn_q.weight": (HIDDEN, HIDDEN, Q4_1),
    "blk.0.attn_k.weight": (KV, HIDDEN, Q4_1),
    "blk.0.attn_v.weight": (KV, HIDDEN, Q8_0),
    "blk.0.attn_output.weight": (HIDDEN, HIDDEN, FLOAT16),
    "blk.0.ffn_norm.weight": (HIDDEN, FLOAT32),
    "blk.0.ffn_gate.weight": (INNER, HIDDEN, Q4_1),
    "blk.0.ffn_up.weight": (INNER, HIDDEN, Q8_0),
    "blk.0.ffn_down.weight": (HIDDEN, INNER, FLOAT16),
}


def tensor(random, shape, kind):
    """(bytes, the float32 values that they stand for) of a random tensor."""
    if kind in (FLOAT32, FLOAT16):
        values = (random.randn(*shape) / 6 + (len(shape) == 1)).astype("<f4" if kind == FLOAT32 else "<f2")
        return values.tobytes(), values.astype(np.float32)
    data, values = b"", []
    for _ in range(int(np.prod(shape)) // BLOCK):
        scale = np.float16(random.uniform(0.002, 0.004) if kind == Q8_0 else random.uniform(0.02, 0.04))
        if kind == Q8_0:  # scale, 32 signed bytes
            whole = random.randint(-127, 128, BLOCK).astype(np.int8)
            data += scale.tobytes() + whole.tobytes()
            values.append(np.float32(scale) * whole.astype(np.float32))
        else:  # scale, least value, 32 halves of bytes: the low ones first
            least = np.float16(-8 * float(scale))
            whole = random.randint(0, 16, BLOCK).astype(np.uint8)
            data += scale.tobytes() + least.tobytes() + (whole[:16] | whole[16:] << 4).tobytes()
            values.append(np.float32(scale) * whole.astype(np.float32) + np.float32(least))
    return data, np.concatenate(values).reshape(shape)


def text(value):
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def field(value):
    """Type and value of a field: text 8, unsigned 4, float 6, list 9."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, list):
        items = [field(item) for item in value]
        return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)
    return struct.pack("<II", 4, value)


def write(path, fields, seed=0):
    """Write the file; {name: float32 values} of its tensors."""
    random, infos, body, values = np.random.RandomState(seed), b"", b"", {}
    for name, (*shape, kind) in SHAPES.items():
        data, values[name] = tensor(random, shape, kind)
        infos += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *reversed(shape))
        infos += struct.pack("<IQ", kind, len(body))
        body += data + b"\0" * (-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(SHAPES), len(fields))
    head += b"".join(text(name) + field(value) for name, value in fields.items()) + infos
    with open(path, "wb") as stream:
        stream.write(head + b"\0" * (-len(head) % 32) + body)
    return values


def compare(recorder, plain, folder):
    """`plain(tensors, fields)` is the model in the layout of the file, a function from sequences of ids to logits."""
    import paddle
    from paddlenlp.experimental.agents.language_models import LanguageModelError, convert_gguf
    from paddlenlp.transformers import AutoModelForCausalLM

    from proving.published import read_gguf

    path = os.path.join(folder, "small.gguf")
    values = write(path, FIELDS)
    tensors, fields = read_gguf(path)
    recorder.add("gguf", "tensors", np.array(sorted(tensors) == sorted(values)), np.array(True))
    for name, want in values.items():
        recorder.add("gguf", name, tensors[name], want)
    # numbers with a point are float32 in the file
    there = [fields[name] == (float(np.float32(value)) if isinstance(value, float) else value) for name, value in FIELDS.items()]
    recorder.add("gguf", "fields", np.array(there), np.ones(len(FIELDS), bool))
    ids = [5, 44, 7, 7, 21, 0, 60, 96]
    model = AutoModelForCausalLM.from_pretrained(convert_gguf(path, os.path.join(folder, "small")))
    model.eval()
    with paddle.no_grad():
        got = model(input_ids=paddle.to_tensor([ids]), return_dict=True).logits[0].numpy()
    recorder.add("forward", "small.logits", got, plain(values, FIELDS)([ids])[0].astype(np.float32))
    for name, change in (("architecture", {"general.architecture": "qwen2"}), ("tokenizer", {"tokenizer.ggml.model": "llama"})):
        write(path, {**FIELDS, **change})
        try:
            convert_gguf(path, os.path.join(folder, "refused"))
            refused = False
        except LanguageModelError as error:
            refused = str(list(change.values())[0]) in str(error)
        recorder.add("gguf", "refused." + name, np.array(refused), np.array(True))
