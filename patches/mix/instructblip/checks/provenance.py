"""Writes reference/provenance.toml: where the reference tensors come from, and the hash of every file.

python provenance.py REFERENCE
"""

import hashlib
import os
import sys

TEXT = """# Where the reference tensors come from. They hold outputs of the reference on seeded inputs: no code and no trained weight of it.

[source]
repository = "https://github.com/huggingface/transformers"
version = "4.57.6"
licence = "Apache-2.0"
files = ["models/instructblip", "models/opt", "models/t5", "models/llama", "models/blip/image_processing_blip.py", "generation"]
replaced = "nothing but what [method] says of t5wide; eager attention, dropout 0, eval mode"

[second_source]
repository = "https://github.com/salesforce/LAVIS"
commit = "506965b9c4a18c1e565bd32acaccabe0198433f7"
licence = "BSD-3-Clause"
files = ["lavis/models/eva_vit.py", "lavis/models/blip2_models/Qformer.py"]
used_for = "lavis.npz; see checks/make_lavis_reference.py"

[metrics]
vqa = "vqa_accuracy.json: GT-Vision-Lab/VQA @ a013f00 and LAVIS @ 506965b on made answers"
captions = "caption_metrics.json: pycocoevalcap 1.2 on made captions"

[environment]
torch = "2.13.0+cpu"
python = "3.11"
machine = "x86_64, one thread, torch.use_deterministic_algorithms(True)"

[method]
weights = "seeded from the parameter names: kinds and order in <model>.manifest.json, generator in ci/proving/seeding.py"
files = "<model>.npz: inputs and outputs; <model>.extra.npz: gradients, float64 copies, more generation; made by checks/make_reference.py"
wide = "t5wide.npz: a larger T5 in float64; in this set alone transformers' casts of T5's norms and softmax to float32 were taken out"
float64 = "the whole run was repeated in float64: X__f64 beside X, differences in <model>.precision.json"
large_tensors = "every n-th element, with shape and stride of the whole tensor"

[sha256]
"""


def main(folder):
    lines = []
    for name in sorted(os.listdir(folder)):
        if name != "provenance.toml":
            with open(os.path.join(folder, name), "rb") as stream:
                lines.append(f'"{name}" = "{hashlib.sha256(stream.read()).hexdigest()}"')
    with open(os.path.join(folder, "provenance.toml"), "w", encoding="utf-8") as stream:
        stream.write(TEXT + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
