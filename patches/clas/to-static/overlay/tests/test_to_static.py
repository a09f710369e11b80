# Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#    http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Global.to_static for models that take a label, such as RecModel."""

import os

# Whole graph, on every version of Python.
os.environ["ENABLE_FALL_BACK"] = "False"

import cv2
import numpy as np
import paddle
import pytest

from ppcls.arch import apply_to_static, build_model
from ppcls.arch.gears.circlemargin import CircleMargin
from ppcls.utils.config import AttrDict, create_attr_dict
from ppcls.utils.logger import init_logger

init_logger()


def make(arch, to_static):
    config = AttrDict({
        "Arch": arch,
        "Global": {
            "to_static": to_static,
            "image_shape": [3, 32, 32],
            "device": "cpu"
        }
    })
    create_attr_dict(config)
    paddle.seed(0)
    model = build_model(config)
    return apply_to_static(config, model)


def recognition():
    return {
        "name": "RecModel",
        "Backbone": {
            "name": "MobileNetV1_x0_25",
            "pretrained": False
        },
        "BackboneStopLayer": {
            "name": "flatten"
        },
        "Neck": {
            "name": "FC",
            "embedding_size": 256,
            "class_num": 16
        },
        "Head": {
            "name": "ArcMargin",
            "embedding_size": 16,
            "class_num": 5,
            "margin": 0.15,
            "scale": 30
        }
    }


def classification():
    return {"name": "MobileNetV1_x0_25", "class_num": 5}


def batch():
    images = np.random.RandomState(0).rand(4, 3, 32, 32).astype("float32")
    return paddle.to_tensor(images), paddle.to_tensor([[0], [1], [2], [3]])


def is_static(model):
    return type(model.forward).__name__.endswith("StaticFunction")


def gradients(model, outputs):
    outputs.sum().backward()
    return [p.grad.numpy() for p in model.parameters() if p.grad is not None]


def test_off_by_default():
    assert not is_static(make(recognition(), False))
    assert not is_static(make(classification(), False))


def test_classification_keeps_its_specification():
    model = make(classification(), True)
    assert is_static(model)
    spec = model.forward._function_spec.input_spec
    assert tuple(spec[0].shape) == (-1, 3, 32, 32)


def test_model_with_label_trains():
    images, labels = batch()
    dygraph = make(recognition(), False)
    static = make(recognition(), True)
    assert is_static(static)
    want = dygraph(images, labels)["logits"]
    got = static(images, labels)["logits"]
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-5)
    pairs = list(zip(gradients(static, got), gradients(dygraph, want)))
    assert pairs
    for ours, theirs in pairs:
        scale = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(
            ours / scale, theirs / scale, rtol=0, atol=1e-4)


def test_same_model_evaluates_without_label():
    images, labels = batch()
    dygraph = make(recognition(), False)
    static = make(recognition(), True)
    static(images, labels)
    dygraph(images, labels)
    dygraph.eval()
    static.eval()
    np.testing.assert_allclose(
        static(images)["features"].numpy(),
        dygraph(images)["features"].numpy(),
        rtol=1e-4,
        atol=1e-5)


def test_circle_margin_keeps_its_logits_under_sot(monkeypatch):
    monkeypatch.setenv("MIN_GRAPH_SIZE", "0")
    paddle.seed(0)
    margin = CircleMargin(8, 5, margin=0.35, scale=64)
    features, labels = paddle.randn([4, 8]), batch()[1]
    want = margin(features, labels)
    static = paddle.jit.to_static(margin, full_graph=False)
    np.testing.assert_allclose(
        static(features, labels).numpy(), want.numpy(), rtol=1e-4, atol=1e-4)


def test_pairwise_cosface_keeps_the_type():
    cosface = pytest.importorskip("ppcls.loss.pairwisecosface")
    loss = cosface.PairwiseCosface(margin=0.35, gamma=64)
    value = loss(paddle.randn([4, 8]), batch()[1])["PairwiseCosface"]
    assert value.dtype == paddle.float32


def training(root):
    """A training configuration over two made pictures."""
    for name in ("0.png", "1.png"):
        cv2.imwrite(str(root / name), np.full([32, 32, 3], 128, np.uint8))
    (root / "list.txt").write_text("0.png 0\n1.png 1\n")
    config = AttrDict({
        "Global": {
            "checkpoints": None,
            "pretrained_model": None,
            "output_dir": str(root),
            "device": "cpu",
            "use_visualdl": False,
            "eval_during_train": False,
            "print_batch_step": 1,
            "save_interval": 1,
            "epochs": 1,
            "image_shape": [3, 32, 32],
            "to_static": True
        },
        "Arch": classification(),
        "EMA": {
            "decay": 0.9
        },
        "Loss": {
            "Train": [{
                "CELoss": {
                    "weight": 1.0
                }
            }]
        },
        "Optimizer": {
            "name": "Momentum",
            "momentum": 0.9,
            "lr": {
                "name": "Constant",
                "learning_rate": 0.1
            }
        },
        "DataLoader": {
            "Train": {
                "dataset": {
                    "name":
                    "ImageNetDataset",
                    "image_root":
                    str(root),
                    "cls_label_path":
                    str(root / "list.txt"),
                    "transform_ops": [{
                        "DecodeImage": {
                            "to_rgb": True,
                            "channel_first": False
                        }
                    }]
                },
                "sampler": {
                    "name": "DistributedBatchSampler",
                    "batch_size": 2,
                    "drop_last": False,
                    "shuffle": False
                },
                "loader": {
                    "num_workers": 0,
                    "use_shared_memory": False
                }
            }
        }
    })
    create_attr_dict(config)
    return config


def test_model_with_moving_average_stays_static(tmp_path):
    engine = pytest.importorskip("ppcls.engine.engine")
    made = engine.Engine(training(tmp_path), mode="train")
    assert made.ema and is_static(made.model)
    assert not is_static(made.model_ema.module)


if __name__ == "__main__":
    pytest.main([__file__])
