"""Makes reference/lavis.npz and lavis.manifest.json with LAVIS' own image encoder and Q-Former. Not run by the harness.

    python make_lavis_reference.py --out reference --lavis LAVIS_CHECKOUT

The two files are loaded alone, since the package needs much that has no part in this: names that its imports ask for and these
modules do not use at run time (timm's registry, download helpers) are given as stand-ins; what newer `transformers` moved is taken
from where it is now. The layout of the weights (names, shapes) and the numbers are LAVIS' own. Sizes are those of the OPT model.
"""

import argparse
import importlib.util
import json
import os
import sys
import types
from functools import partial

import numpy as np
import torch
import transformers.modeling_utils
import transformers.pytorch_utils
from transformers.models.bert.configuration_bert import BertConfig

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "..", "ci"))
from proving import seeding  # noqa: E402


def module(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def stand_ins():
    def put(name, **values):
        made = types.ModuleType(name)
        vars(made).update(values)
        sys.modules[name] = made

    def no_drop(x, probability, training):
        return x

    put("timm")
    put("timm.models")
    put("timm.models.layers", drop_path=no_drop, to_2tuple=lambda x: (x, x), trunc_normal_=torch.nn.init.trunc_normal_)
    put("timm.models.registry", register_model=lambda function: function)
    put("lavis")
    put("lavis.common")
    put("lavis.common.dist_utils", download_cached_file=None)
    for name in ("apply_chunking_to_forward", "find_pruneable_heads_and_indices", "prune_linear_layer"):
        if not hasattr(transformers.modeling_utils, name):
            setattr(transformers.modeling_utils, name, getattr(transformers.pytorch_utils, name))


def kind_of(name, value):
    if name.endswith("position_ids"):
        return "const"
    if "norm" in name.lower() or "ln_vision" in name:
        return "norm_weight" if name.endswith("weight") else "norm_bias"
    if name.endswith("bias"):
        return "bias"
    if "embeddings" in name or "pos_embed" in name or "cls_token" in name:
        return "embedding"
    if name == "query_tokens":
        return "query"
    return "conv" if value.ndim == 4 else "linear"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--lavis", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    stand_ins()
    vit = module(os.path.join(args.lavis, "lavis", "models", "eva_vit.py"), "eva_vit")
    former = module(os.path.join(args.lavis, "lavis", "models", "blip2_models", "Qformer.py"), "Qformer")
    with open(os.path.join(args.out, "opt.config.json")) as stream:
        config = json.load(stream)
    vision, qformer = config["vision_config"], config["qformer_config"]

    class Parts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual_encoder = vit.VisionTransformer(
                img_size=vision["image_size"],
                patch_size=vision["patch_size"],
                use_mean_pooling=False,
                embed_dim=vision["hidden_size"],
                depth=vision["num_hidden_layers"],
                num_heads=vision["num_attention_heads"],
                mlp_ratio=vision["intermediate_size"] / vision["hidden_size"],
                qkv_bias=True,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            )
            self.ln_vision = torch.nn.LayerNorm(vision["hidden_size"])
            bert = BertConfig(
                **{
                    key: qformer[key]
                    for key in (
                        "vocab_size",
                        "hidden_size",
                        "num_hidden_layers",
                        "num_attention_heads",
                        "intermediate_size",
                        "max_position_embeddings",
                        "layer_norm_eps",
                    )
                },
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
            bert.encoder_width, bert.query_length = vision["hidden_size"], config["num_query_tokens"]
            bert.add_cross_attention, bert.cross_attention_freq = True, qformer["cross_attention_frequency"]
            self.Qformer = torch.nn.Module()
            self.Qformer.bert = former.BertModel(bert, add_pooling_layer=False)
            self.query_tokens = torch.nn.Parameter(torch.zeros(1, config["num_query_tokens"], qformer["hidden_size"]))
            self.llm_proj = torch.nn.Linear(qformer["hidden_size"], config["text_config"]["hidden_size"])

        def forward(self, image, ids, mask):
            embeds = self.ln_vision(self.visual_encoder(image))
            queries = self.query_tokens.expand(len(image), -1, -1)
            whole = torch.cat([torch.ones(queries.shape[:-1], dtype=torch.long), mask], 1)
            out = self.Qformer.bert(
                ids,
                attention_mask=whole,
                query_embeds=queries,
                encoder_hidden_states=embeds,
                encoder_attention_mask=torch.ones(embeds.shape[:-1], dtype=torch.long),
                return_dict=True,
            ).last_hidden_state[:, : queries.shape[1]]
            return embeds, out, self.llm_proj(out)

    model = Parts().eval()
    if hasattr(model.Qformer.bert, "get_head_mask") is False:  # removed from newer transformers; None in, list of None out
        model.Qformer.bert.get_head_mask = lambda mask, layers: [None] * layers
    entries = []
    for name, value in model.state_dict().items():
        entries.append({"name": name, "seed_name": "lavis." + name, "shape": list(value.shape), "kind": kind_of(name, value)})
        if entries[-1]["kind"] != "const":
            value.copy_(torch.from_numpy(seeding.seeded("lavis." + name, value.shape, entries[-1]["kind"])))
    golden = dict(np.load(os.path.join(args.out, "opt.npz")))
    inputs = [torch.from_numpy(golden[key]) for key in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
    with torch.no_grad():
        embeds, queries, features = model(*inputs)
    np.savez_compressed(os.path.join(args.out, "lavis.npz"), image=embeds, queries=queries, features=features)
    with open(os.path.join(args.out, "lavis.manifest.json"), "w") as stream:
        json.dump({"salt": "", "parameters": entries}, stream, separators=(",", ":"))
    print(len(entries), "tensors", features.abs().max().item())


if __name__ == "__main__":
    main()
