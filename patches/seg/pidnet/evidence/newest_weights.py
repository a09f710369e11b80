"""Upstream's PIDNet, as the series for the newest commit has it, with the authors' weights, against what their code computed.

The weights are rebuilt from the names of their parameters (as in checks/align.py) and go through the converter of the series.
Run in the work tree of that series (`./forklift edit seg-pidnet --onto newest`), with PYTHONPATH=<work tree>:ci:

    python <change>/evidence/newest_weights.py <change>/reference s m l
"""

import sys

import numpy as np
import paddle
from paddleseg.models import PIDNet
from paddleseg.models.backbones import pidnet

from proving import tree
from proving.reference import ReferenceSet
from proving.weights import assign

convert_pidnet = tree.load("tools", "convert_pidnet.py")


def gap(reference):
    """The largest difference of the logits at 1/8, in eval mode, relative to the largest of them."""
    state = convert_pidnet.strip_checkpoint(reference.weights())
    backbone, model = convert_pidnet.read_architecture(state)
    network = PIDNet(backbone=pidnet.PIDNet(**backbone), **model)
    weights = convert_pidnet.convert(state, {name: value.shape for name, value in network.state_dict().items()})
    assign(network, weights)
    network.eval()
    spec = reference.inputs[0]
    image = reference.seeded(spec["name"], spec["shape"], spec["kind"]).astype("float32")
    found = network.decode_head(network.backbone(paddle.to_tensor(image)))[0].numpy()
    wanted = reference.arrays["eval.out.main"]  # every n-th value of the flat map
    found = found.reshape(-1)[:: int(reference.arrays["eval.out.main__stride"])]
    return len(weights), np.abs(found - wanted).max() / np.abs(wanted).max()


for size in sys.argv[2:]:
    tensors, largest = gap(ReferenceSet(sys.argv[1], "pidnet_" + size))
    print(size, f"{tensors} tensors, within {largest:.1e}", flush=True)
