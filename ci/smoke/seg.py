"""PaddleSeg's wheel: a forward of PIDNet, and a repair of seg-to-static. The switch itself is in tools/, which no wheel holds."""

import numpy as np
import paddle
from paddleseg.models import PIDNet
from paddleseg.models.backbones import PIDNetBackbone
from paddleseg.models.gscnn import GSCNNHead
from paddleseg.transforms import AddEdgeLabel

paddle.seed(0)
network = PIDNet(num_classes=3, backbone=PIDNetBackbone(base_channels=4, context_channels=4), head_channels=8)
network.eval()
scores = network(paddle.randn([1, 3, 65, 97]))[0]
assert scores.shape[1] == 3 and np.isfinite(scores.numpy()).all(), scores.shape
label = np.zeros([32, 32], "uint8")
label[:, 16:] = 1
edge = AddEdgeLabel()({"img": np.zeros([32, 32, 3], "uint8"), "label": label, "gt_fields": ["label"], "trans_info": []})["edge"]
assert 0 < edge.sum() < edge.size
print("seg-pidnet: a forward of", list(scores.shape), "and an edge label of", int(edge.sum()), "pixels")

edges = GSCNNHead.image_gradient(paddle.rand([1, 3, 16, 16]))
assert edges.shape == (1, 1, 16, 16), edges.shape
print("seg-to-static: GSCNN's image gradient as a function of its own")
