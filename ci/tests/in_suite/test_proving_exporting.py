"""Programs and ONNX files of a small net give its own outputs, at sizes it was not traced with."""

import numpy as np
import paddle
import pytest

from proving import exporting

LEGACY = paddle.__version__.startswith("2.6")


class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv = paddle.nn.Conv2D(3, 8, 3, stride=2, padding=1)
        self.norm = paddle.nn.BatchNorm2D(8)
        self.head = paddle.nn.Conv2D(8, 2, 1)

    def forward(self, x):
        y = self.head(paddle.nn.functional.relu(self.norm(self.conv(x))))
        return paddle.nn.functional.interpolate(y, size=paddle.shape(x)[2:], mode="bilinear"), y.mean([2, 3])


@pytest.fixture(scope="module")
def net():
    paddle.seed(3)
    model = Net()
    model.train()
    model(paddle.rand([4, 3, 16, 16]))  # running statistics that are not the initial ones
    return model


@pytest.fixture(scope="module")
def saved(net, tmp_path_factory):
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32", "image")]
    return exporting.save_static(net, spec, str(tmp_path_factory.mktemp("saved")))


SIZES = [(1, 16, 24), (2, 32, 20)]


def picture(size):
    return np.random.RandomState(size[2]).rand(size[0], 3, *size[1:]).astype(np.float32)


def eager(net, array):
    net.eval()
    return [value.numpy() for value in net(paddle.to_tensor(array))]


def compare(got, want):
    assert len(got) == len(want) == 2
    for ours, theirs in zip(got, want):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_inference_equals_eager(net, saved, size):
    compare(exporting.run_inference(saved, [picture(size)]), eager(net, picture(size)))


@pytest.mark.parametrize("size", SIZES)
def test_onnx_equals_eager(net, saved, size, tmp_path):
    compare(exporting.run_onnx(exporting.to_onnx(saved, str(tmp_path / "m.onnx")), [picture(size)]), eager(net, picture(size)))


def test_onednn_is_for_2_6_only(net, saved):
    if LEGACY:
        compare(exporting.run_inference(saved, [picture(SIZES[0])], onednn=True), eager(net, picture(SIZES[0])))
    else:
        with pytest.raises(ValueError, match="2.6 only"):
            exporting.run_inference(saved, [picture(SIZES[0])], onednn=True)


def test_model_is_left_as_it_was(net, saved):
    assert type(net.forward).__name__ == "method"


def test_wrong_feed(saved):
    with pytest.raises(ValueError, match="1 inputs"):
        exporting.run_inference(saved, [])
    with pytest.raises(ValueError, match="'image'"):
        exporting.run_inference(saved, {"picture": picture(SIZES[0])})


def test_missing_program(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_static"):
        exporting.run_inference(str(tmp_path / "model"), [])
