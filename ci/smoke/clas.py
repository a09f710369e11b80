"""PaddleClas's wheel: SOLIDER's features, and a repair of clas-to-static."""

import os
import sys

import numpy as np
import paddle
import paddleclas

sys.path.insert(0, os.path.dirname(paddleclas.__file__))  # as paddleclas itself imports ppcls

from ppcls.arch.backbone.variant_models.swin_transformer_variant import SwinTransformerSOLIDER  # noqa: E402
from ppcls.loss.pairwisecosface import PairwiseCosface  # noqa: E402

paddle.seed(0)
network = SwinTransformerSOLIDER(img_size=(64, 32), embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 3, 4], class_num=0)
network.eval()
images = paddle.randn([2, 3, 64, 32])
features = [network(images, semantic_weight=weight).numpy() for weight in (0.0, 1.0)]
assert np.abs(features[0] - features[1]).max() > 0
print("clas-solider: features of", features[0].shape, "for two semantic weights")

embedding = paddle.randn([4, 8]).astype("float64")
loss = PairwiseCosface(0.35, 64)(embedding, paddle.to_tensor([0, 0, 1, 1]))["PairwiseCosface"]
assert loss.dtype == paddle.float64 and np.isfinite(float(loss))
print("clas-to-static: PairwiseCosface in the type of its input")
