"""PIDNet in Paddle Inference and ONNX Runtime against dygraph: one program of free batch, height and width a size.

The weights are seeded by their names, so that the outputs are of order one and not those of an untrained network near zero.
"""

import os

import numpy as np
import paddle
from paddleseg.models import PIDNet
from paddleseg.models.backbones import PIDNetBackbone

from proving import exporting, seeding
from proving.record import Recorder, arguments

SIZES = {
    "s": (dict(base_channels=32), 128),
    "m": (dict(base_channels=64), 128),
    "l": (dict(base_channels=64, block_layers=[3, 4], context_channels=112, lightweight=False), 256),
}
# Multiples of 64, of 8, of neither, and a batch of two.
SHAPES = [(1, 3, 128, 256), (2, 3, 72, 104), (1, 3, 65, 97), (1, 3, 33, 33)]
KINDS = {"_mean": "running_mean", "_variance": "running_var"}


def seeded_weights(model):
    """Weights of the magnitudes that training gives, from the names alone."""
    state = {}
    for name, value in model.state_dict().items():
        leaf = name.rsplit(".", 1)[1]
        norm = "_batch_norm" in name
        kind = KINDS.get(leaf) or ("norm_" + leaf if norm else leaf)
        state[name] = paddle.to_tensor(seeding.seeded("export:" + name, value.shape, kind))
    missing, unexpected = model.set_state_dict(state)
    assert not missing and not unexpected, (missing, unexpected)


def main():
    def add(parser):
        parser.add_argument("--sizes", default="s,m,l", help="comma separated, of s, m and l")

    args = arguments(add)
    recorder = Recorder(args.out)
    for size in args.sizes.split(","):
        backbone, head_channels = SIZES[size]
        model = PIDNet(19, PIDNetBackbone(**backbone), head_channels=head_channels)
        seeded_weights(model)
        model.eval()
        images = [seeding.seeded("export:image:%d" % i, shape, "input") for i, shape in enumerate(SHAPES)]
        with paddle.no_grad():
            wanted = [model(paddle.to_tensor(image))[0].numpy() for image in images]
        assert all(1e-2 < np.abs(want).max() < 1e2 for want in wanted), "the outputs are not of order one"

        spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
        path = exporting.save_static(model, spec, args.out, "pidnet_" + size)
        predictor = exporting.predictor(path)
        onnx = exporting.to_onnx(path)
        for shape, image, want in zip(SHAPES, images, wanted):
            key = "%s.%s" % (size, "x".join(map(str, shape)))
            recorder.add("inference", "inference." + key, exporting.predict(predictor, [image])[0], want)
            recorder.add("onnx", "onnx." + key, exporting.run_onnx(onnx, [image])[0], want)
        for suffix in (".pdmodel", ".json", ".pdiparams", ".pdiparams.info", ".onnx"):
            if os.path.isfile(path + suffix):
                os.remove(path + suffix)
    recorder.write()


if __name__ == "__main__":
    main()
