"""The exported image part, prompt and token with its cache equal the dygraph model: Paddle Inference and ONNX, several sizes of batch,
text and cache, padding on the left; and whole greedy answers of the three programs."""

import os

import numpy as np
import paddle
from common import Set

from proving.exporting import onnx_session, predict, predictor, save_static, to_onnx
from proving.record import Recorder, arguments
from proving.tree import on_path


def inputs(config, rows, length, seed):
    """Prompts whose first row is padded on the left."""
    draw, text, places = np.random.default_rng(seed), config.text_config, config.latent_query_num
    ids = draw.integers(4, text.vocab_size, [rows, length])
    mask, place = np.ones_like(ids), np.zeros_like(ids)
    start = np.zeros(rows, int)
    start[0] = min(2, length - places - 2)
    for row, first in enumerate(start):
        mask[row, :first], ids[row, :first] = 0, text.pad_token_id
        place[row, first + 2 : first + 2 + places] = 1
    size = config.vision_config.image_size
    pixels = draw.standard_normal([rows, 3, size, size]).astype("float32")
    return {"pixel_values": pixels, "input_ids": ids, "attention_mask": mask, "image_embeds_position_mask": place}


def main():
    args = arguments()
    on_path("paddlemix", "examples", "kosmos2")
    from export import Exported, layers_and_specs

    recorder = Recorder(args.out)
    model = Set(args.reference).build()
    layers, runners = layers_and_specs(model), {"inference": {}, "onnx": {}}
    for name, (layer, spec) in layers.items():
        path = save_static(layer, spec, os.path.join(args.out, "static"), name)
        ready, session = predictor(path), onnx_session(to_onnx(path))
        names = [value.name for value in session.get_inputs()]
        runners["inference"][name] = lambda arrays, ready=ready: predict(ready, arrays)
        runners["onnx"][name] = lambda arrays, session=session, names=names: session.run(None, {key: arrays[key] for key in names})

    def dygraph(name, arrays):
        layer, spec = layers[name]
        with paddle.no_grad():
            found = layer(*[paddle.to_tensor(arrays[one.name]) for one in spec])
        return [value.numpy() for value in (found if isinstance(found, (tuple, list)) else [found])]

    ours = {name: lambda arrays, name=name: dygraph(name, arrays) for name in layers}
    for rows, length in ((1, 9), (2, 11), (3, 17)):
        given = inputs(model.config, rows, length, rows)
        features = ours["image"](given)[0]
        prompt = {**given, "image_embeds": features}
        cache = ours["prompt"](prompt)[1]
        mask = np.concatenate([given["attention_mask"], np.ones([rows, 1], "int64")], axis=1)
        token = {"input_ids": given["input_ids"][:, -1:], "attention_mask": mask, "cache": cache}
        for stage, run in runners.items():
            for name, arrays in (("image", given), ("prompt", prompt), ("token", token)):
                for number, (got, want) in enumerate(zip(run[name](arrays), ours[name](arrays))):
                    recorder.add(stage, f"{stage}.{name}.{rows}x{length}.{number}", got, want)
            names = ("pixel_values", "input_ids", "image_embeds_position_mask", "attention_mask")
            got = Exported(run, eos_token_id=-1).generate(*[given[key] for key in names], max_new_tokens=8)
            want = model.generate(**{key: paddle.to_tensor(given[key]) for key in names}, max_new_tokens=8, eos_token_id=-1)[0]
            recorder.add(stage, f"{stage}.answer.{rows}x{length}", got, want.numpy())
    recorder.write()


if __name__ == "__main__":
    main()
