"""Makes blip2_itr.extra.npz with PyTorch and `transformers`. Not run by the harness: neither is part of the suite's environment.

    PYTHONPATH=ci python make_reference.py --out patches/mix/coco-retrieval/reference

The folder holds blip2_itr.npz (inputs, outputs, norms of gradients, losses of SGD; transformers 4.57.6). This script repeats them, and
adds outputs in float64, every gradient, the losses where several pairs are of one image (the formula of LAVIS' fine-tuning, written out
here), and another image size. Weights follow from names: ci/proving/seeding.py.
"""

import argparse
import os

import numpy as np
import torch
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from proving import seeding
from proving.making import put
from proving.record import write_json
from proving.reference import ReferenceSet

MOST = 128  # elements of a gradient that are stored
SAME = [0, 1, 0, 2, 3, 2]  # images of the six pairs in the second run


def build(one, dtype):
    config = Blip2Config.from_dict({key: value for key, value in one.config.items() if key != "transformers_version"})
    for part in (config, config.vision_config, config.qformer_config):
        part._attn_implementation = "eager"
    model = Blip2ForImageTextRetrieval(config)
    own = dict(model.named_parameters())
    for name, value in seeding.parameters(dict(one.manifest, tied={})):
        own.pop(name).data.copy_(torch.from_numpy(value))
    assert not own, own
    return model.to(dtype).eval()


def run(model, arrays, dtype, same=None):
    """{name: tensor} of one batch, and the loss."""
    pixels = torch.from_numpy(arrays["pixel_values"]).to(dtype)
    texts = {name: torch.from_numpy(arrays[name]) for name in ("input_ids", "attention_mask")}
    itc = model(pixels, **texts, use_image_text_matching_head=False)
    made = {
        "vision_last_hidden_state": itc.vision_model_output.last_hidden_state,
        "itc_image_embeds": itc.image_embeds,
        "itc_text_embeds": itc.text_embeds,
        "itc_logits_per_image": itc.logits_per_image,
        "itc_logits_per_text": itc.logits_per_text,
    }
    images, rows = torch.from_numpy(arrays["pair_image_index"]), torch.from_numpy(arrays["pair_text_index"])
    itm = model(pixels[images], **{name: value[rows] for name, value in texts.items()}, use_image_text_matching_head=True)
    made["itm_pair_logits"] = itm.logits_per_image
    number = len(pixels)
    ids = torch.arange(number) if same is None else torch.tensor(same)
    equal = (ids[:, None] == ids[None]).to(dtype)
    targets = 0.9 * equal / equal.sum(1, keepdim=True) + 0.1 / number
    scores = itc.logits_per_image / 0.07, itc.logits_per_image.t() / 0.07
    made["loss_itc"] = sum(-(torch.log_softmax(one, 1) * targets).sum(1).mean() for one in scores).reshape(1) / 2
    made["loss_itm"] = torch.nn.functional.cross_entropy(itm.logits_per_image, torch.from_numpy(arrays["itm_labels"])).reshape(1)
    made["loss"] = made["loss_itc"] + made["loss_itm"]
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    one = ReferenceSet(args.out, "blip2_itr")
    arrays = {key: value for key, value in one.arrays.items() if one.sources[key].file == "blip2_itr.npz"}
    extra, precision, first = {"same_image_ids": np.array(SAME)}, {}, {}
    for dtype, double in ((torch.float32, False), (torch.float64, True)):
        model = build(one, dtype)
        made = run(model, arrays, dtype)
        made["loss"].backward()
        values = {key: value.detach().numpy() for key, value in made.items()}
        gradients = {name: value.grad.numpy() for name, value in model.named_parameters()}
        for key, value in values.items():
            precision["repeat." + key + ("__f64" if double else "")] = float(np.abs(value - arrays[key]).max())
            if double:
                put(extra, key, value, 4096, double=True)
        for name, value in gradients.items():
            put(extra, "grad." + name, value, MOST, double=double)
        if double:
            scale = max(np.abs(value).max() for value in gradients.values())
            precision["grad"] = max(
                float(np.abs(first[name] - value).max() / max(np.abs(value).max(), 1e-3 * scale))
                for name, value in gradients.items()
            )
        first = gradients
        with torch.no_grad():
            same = run(model, arrays, dtype, SAME)
            picture = torch.from_numpy(seeding.seeded("coco_retrieval.larger", (1, 3, 70, 70), "normal")).to(dtype)
            larger = model.vision_model(picture, interpolate_pos_encoding=True).last_hidden_state.numpy()
        put(extra, "same_loss_itc", same["loss_itc"].numpy(), double=double)
        put(extra, "larger_image", larger, double=double)
    np.savez_compressed(os.path.join(args.out, "blip2_itr.extra.npz"), **extra)
    write_json(os.path.join(args.out, "blip2_itr.precision.json"), precision)
    print(precision)


if __name__ == "__main__":
    main()
