"""Paddle2ONNX's wheel: an FP16 program becomes an FP16 model, by the released core."""

import onnx
import paddle
import paddle2onnx

paddle.seed(0)
network = paddle.nn.Sequential(paddle.nn.Linear(8, 16), paddle.nn.ReLU(), paddle.nn.Linear(16, 4))
network.to(dtype="float16")
network.eval()
paddle.jit.save(network, "small", input_spec=[paddle.static.InputSpec([None, 8], "float16", "x")])
paddle2onnx.export("small.pdmodel", "small.pdiparams", "small.onnx", opset_version=13)
model = onnx.load("small.onnx")
onnx.checker.check_model(model)
kinds = {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
kinds |= {
    tensor.data_type for tensor in model.graph.initializer if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
}
assert kinds == {onnx.TensorProto.FLOAT16}, kinds
print("onnx-fp16-python: a model of", len(model.graph.node), "nodes, inputs, outputs and weights in FP16")
