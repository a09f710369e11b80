"""The exported encoder in Paddle Inference and ONNX Runtime against dygraph, at several batch sizes and lengths."""

import os

import numpy as np
import paddle
import port

from proving import exporting
from proving.record import Recorder, arguments

SHAPES = ((1, 3), (2, 17), (5, 40), (3, 8))


def main():
    args = arguments()
    port.use_overlay()
    from export_model import to_onnx
    from retriever.embedder import InferenceEncoder, export

    recorder, one = Recorder(args.out), port.Set(args.reference, "bge_bert")
    for pooling in ("cls", "mean"):
        model = one.build()
        model.pooling = pooling
        folder = os.path.join(args.out, pooling)
        os.makedirs(folder)
        path = export(model, folder)
        onnx = to_onnx(path)
        plain = InferenceEncoder(folder, onednn=False)
        fast = InferenceEncoder(folder)
        for batch, length in SHAPES:
            rng = np.random.default_rng(length)
            ids = rng.integers(5, 90, (batch, length))
            mask = (np.arange(length) < rng.integers(2, length + 1, (batch, 1))).astype("int64")
            with paddle.no_grad():
                want = model(paddle.to_tensor(ids), paddle.to_tensor(mask)).numpy()
            key = "%s.%dx%d" % (pooling, batch, length)
            recorder.add("inference", "inference." + key, plain(ids, mask), want)
            recorder.add("inference", "inference_default." + key, fast(ids, mask), want)
            feeds = {"input_ids": ids, "attention_mask": mask}
            recorder.add("onnx", "onnx." + key, exporting.run_onnx(onnx, feeds)[0], want)
    recorder.write()


if __name__ == "__main__":
    main()
