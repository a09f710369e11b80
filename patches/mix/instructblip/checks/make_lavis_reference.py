"""Makes reference/lavis.npz and lavis.manifest.json with LAVIS' own image encoder and Q-Former. Not run by the harness.

    PYTHONPATH=ci python make_lavis_reference.py --out reference --lavis LAVIS_CHECKOUT

The two files are loaded alone, since the package needs much that has no part in this: names that its imports ask for and these
modules do not use at run time (timm's registry, download helpers) are given as stand-ins; what newer `transformers` moved is taken
from where it is now. The layout of the weights (names, shapes) and the numbers are LAVIS' own. Sizes are those of the OPT model.
"""

import argparse
import os
import sys
import types
from functools import partial

import torch
import transformers.modeling_utils
import transformers.pytorch_utils
from transformers.models.bert.configuration_bert import BertConfig

from proving import seeding
from proving.making import write_set
from proving.reference import ReferenceSet
from proving.tree import load


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


def parts(vit, former, config):
    """LAVIS' image encoder, Q-Former and projection in one module, at the sizes of `config`."""
    vision, qformer, count = config["vision_config"], config["qformer_config"], config["num_query_tokens"]
    module = torch.nn.Module()
    module.visual_encoder = vit.VisionTransformer(
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
    module.ln_vision = torch.nn.LayerNorm(vision["hidden_size"])
    sizes = "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings layer_norm_eps"
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert = BertConfig(**{key: qformer[key] for key in sizes.split()}, **dropout)
    bert.encoder_width, bert.query_length = vision["hidden_size"], count
    bert.add_cross_attention, bert.cross_attention_freq = True, qformer["cross_attention_frequency"]
    module.Qformer = torch.nn.Module()
    module.Qformer.bert = former.BertModel(bert, add_pooling_layer=False)
    if not hasattr(module.Qformer.bert, "get_head_mask"):  # removed from newer transformers; None in, list of None out
        module.Qformer.bert.get_head_mask = lambda mask, layers: [None] * layers
    module.query_tokens = torch.nn.Parameter(torch.zeros(1, count, qformer["hidden_size"]))
    module.llm_proj = torch.nn.Linear(qformer["hidden_size"], config["text_config"]["hidden_size"])
    return module.eval()


def forward(model, image, ids, mask):
    """(states of the image, of the queries, features for the language model)."""
    embeds = model.ln_vision(model.visual_encoder(image))
    queries = model.query_tokens.expand(len(image), -1, -1)
    out = model.Qformer.bert(
        ids,
        attention_mask=torch.cat([torch.ones(queries.shape[:-1], dtype=torch.long), mask], 1),
        query_embeds=queries,
        encoder_hidden_states=embeds,
        encoder_attention_mask=torch.ones(embeds.shape[:-1], dtype=torch.long),
        return_dict=True,
    ).last_hidden_state[:, : queries.shape[1]]
    return embeds, out, model.llm_proj(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--lavis", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    stand_ins()
    opt = ReferenceSet(args.out, "opt")
    files = [os.path.join(args.lavis, "lavis", "models", *path) for path in (("eva_vit.py",), ("blip2_models", "Qformer.py"))]
    model, entries = parts(*map(load, files), opt.config), []
    for name, value in model.state_dict().items():
        entries.append({"name": name, "seed_name": "lavis." + name, "shape": list(value.shape), "kind": kind_of(name, value)})
        if entries[-1]["kind"] != "const":
            value.copy_(torch.from_numpy(seeding.seeded("lavis." + name, value.shape, entries[-1]["kind"])))
    inputs = [torch.from_numpy(opt.arrays[key]) for key in ("pixel_values", "qformer_input_ids", "qformer_attention_mask")]
    with torch.no_grad():
        made = dict(zip(("image", "queries", "features"), forward(model, *inputs)))
    write_set(args.out, "lavis", {key: value.numpy() for key, value in made.items()}, {"salt": "", "parameters": entries})
    print(len(entries), "tensors", made["features"].abs().max().item())


if __name__ == "__main__":
    main()
