"""Upstream's SOLIDER, as the series for the newest commit has it, with the reference's weights, against the reference's features.

The weights are rebuilt from the names of the reference's parameters and go through the converter of the series. Run in its
work tree (`./forklift edit clas-solider --onto newest`), with PYTHONPATH=<work tree>:ci:

    python <change>/evidence/newest_weights.py <change>/reference tiny
"""

import sys

import numpy as np
import paddle
from ppcls.arch import backbone
from ppcls.utils import convert_solider

from proving.reference import ReferenceSet
from proving.weights import assign


def compare(reference, arch, weight):
    """Largest and mean difference of the global features at 224x224, and the largest of them."""
    model = getattr(backbone, arch)(class_num=0, semantic_weight=weight)
    target = {name: value.numpy() for name, value in model.state_dict().items()}
    index = reference.arrays["buffer.relative_position_index"]
    state = {**{entry["name"]: index for entry in reference.entries if entry["kind"] == "const"}, **reference.weights()}
    checkpoint = {"teacher": {"backbone." + name: value for name, value in state.items()}}
    weights = convert_solider.convert(convert_solider.select_backbone(checkpoint)[0], target)
    assign(model, weights)
    model.eval()
    image = reference.seeded("input:solider:x:224x224", (1, 3, 224, 224)).astype("float32")
    wanted = reference.arrays[f"sw{weight}.224x224.global"]
    gap = np.abs(model(paddle.to_tensor(image)).numpy() - wanted)
    return gap.max(), gap.mean(), np.abs(wanted).max()


for size in sys.argv[2:]:
    stored = ReferenceSet(sys.argv[1], "solider_swin_" + size)
    name = f"SwinTransformer_{size}_patch4_window7_224_SOLIDER"
    for share in (0.0, 0.2, 1.0):
        print(size, share, "max {:.1e}, mean {:.1e}, of {:.2f}".format(*compare(stored, name, share)), flush=True)
