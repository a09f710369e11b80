# ruff: noqa
"""Programs after public reports and common habits, each converted by the core of this branch and by a released one.

For each: what came out, its opset, the full check, ONNX Runtime against Paddle, the model node by node, and the rounding control.
--release names the module of a released core (paddle2onnx_cpp2py_export*.so); it converts in a process of its own.
"""

import argparse
import json
import os
import signal
import struct
import tempfile

import numpy as np
from proving.record import arguments, write_metrics
from float32_same import load
from package import assemble
from parity import without_roi

parser = argparse.ArgumentParser()
parser.add_argument("--release", default="")
parser.add_argument("--only", default="", help="these programs, split by commas; other rows of OUT/reports.json stay")
args = arguments(parser=parser)
assemble(args.out)
import fp16_base as B  # noqa: E402
import onnx  # noqa: E402
import paddle  # noqa: E402
import paddle.nn as nn  # noqa: E402
import paddle.nn.functional as F  # noqa: E402

TMP = tempfile.mkdtemp()
S = paddle.static.InputSpec
rs = np.random.RandomState(0)
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


def halfparams(layer):
    for p in layer.parameters():
        if p.dtype == paddle.float32:
            p.set_value(p.astype("float16").astype("float32"))


def build(layer, specs, inputs, name, kind="fp16", ref=True, calib=True):
    """eager fp32 reference with half-rounded weights and inputs, then save in fp16"""
    layer.eval()
    if calib and any(hasattr(m, "_variance") for m in layer.sublayers()):
        B.calibrate(layer, *[paddle.to_tensor(i.astype("float32") if i.dtype.kind == "f" else i) for i in inputs])
    halfparams(layer)
    for m in layer.sublayers(include_self=True):
        for k, b in m._buffers.items():
            if b is not None and b.dtype == paddle.float32 and kind == "fp16":
                b.set_value(b.astype("float16").astype("float32"))
    ins = [i.astype("float16") if i.dtype.kind == "f" else i for i in inputs]
    want = None
    if ref:
        with paddle.no_grad():
            out = layer(*[paddle.to_tensor(i.astype("float32") if i.dtype == np.float16 else i) for i in ins])
        want = [o.numpy() for o in (out if isinstance(out, (list, tuple)) else [out])]
    path = os.path.join(TMP, name, "model")
    B.save(layer, path, specs, kind)
    if kind == "fp32_input":
        ins = [i.astype("float32") if i.dtype == np.float16 else i for i in ins]
    return path, ins, want


class Fn(nn.Layer):
    def __init__(self, fn, **subs):
        super().__init__()
        for k, v in subs.items():
            setattr(self, k, v)
        self.fn = fn

    def forward(self, x, m=None):
        if m is None:
            return self.fn(self, x)
        return self.fn(self, x, m)


def img(*s):
    return rs.randn(*s).astype("float32")


@case
def base():
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.BatchNorm2D(8),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    return build(net, [([None, 3, 16, 16], "float32")], [img(2, 3, 16, 16)], "base")


@case
def base_mixed():
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1),
        nn.BatchNorm2D(8),
        nn.ReLU(),
        nn.MaxPool2D(2),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    return build(net, [([None, 3, 16, 16], "float32")], [img(2, 3, 16, 16)], "base_mixed", kind="mixed")


@case
def resize_all():
    def f(s, x):
        a = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        b = F.interpolate(x, size=[12, 20], mode="bilinear", align_corners=True)
        c = F.interpolate(x, scale_factor=2, mode="nearest")
        d = F.interpolate(s.c(x), size=paddle.shape(a)[2:], mode="bicubic", align_corners=False)
        return a + c + d, b

    return build(Fn(f, c=nn.Conv2D(4, 4, 3, padding=1)), [([None, 4, None, None], "float32")], [img(1, 4, 8, 8)], "resize_all")


@case
def mask_where_1e9():
    def f(s, x, m):
        q, k, v = s.q(x), s.k(x), s.v(x)
        sc = paddle.matmul(q, k, transpose_y=True) * 0.25
        neg = paddle.full_like(sc, -1e9)
        sc = paddle.where(m.unsqueeze(1).expand_as(sc) > 0, sc, neg)
        return paddle.matmul(F.softmax(sc, -1), v)

    m = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int64")
    return build(
        Fn(f, q=nn.Linear(16, 16), k=nn.Linear(16, 16), v=nn.Linear(16, 16)),
        [([None, 5, 16], "float32"), ([None, 5], "int64")],
        [img(2, 5, 16), m],
        "mask_where",
    )


@case
def mask_scale_1e9():
    def f(s, x, m):
        q, k, v = s.q(x), s.k(x), s.v(x)
        sc = paddle.matmul(q, k, transpose_y=True) * 0.25
        add = (1.0 - m.astype(x.dtype).unsqueeze(1)) * -1e9
        return paddle.matmul(F.softmax(sc + add, -1), v)

    m = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int64")
    return build(
        Fn(f, q=nn.Linear(16, 16), k=nn.Linear(16, 16), v=nn.Linear(16, 16)),
        [([None, None, 16], "float32"), ([None, None], "int64")],
        [img(2, 5, 16), m],
        "mask_scale",
    )


@case
def mask_triu_1e30():
    def f(s, x):
        L = paddle.shape(x)[1]
        q, k = s.q(x), s.k(x)
        sc = paddle.matmul(q, k, transpose_y=True)
        causal = paddle.triu(paddle.full([L, L], -1e30, dtype=x.dtype), diagonal=1)
        return F.softmax(sc + causal, -1)

    return build(Fn(f, q=nn.Linear(16, 16), k=nn.Linear(16, 16)), [([None, None, 16], "float32")], [img(2, 5, 16)], "mask_triu")


@case
def eps_small():
    def f(s, x):
        y = s.l(x)
        a = y / paddle.sqrt((y * y).sum(-1, keepdim=True) + 1e-12)
        b = F.normalize(y, axis=-1, epsilon=1e-12)
        c = y / paddle.clip(paddle.abs(y).sum(-1, keepdim=True), min=1e-12)
        d = paddle.log(F.sigmoid(y) + 1e-8)
        return a, b, c, d

    x = img(3, 8)
    x[1] = 0
    return build(Fn(f, l=nn.Linear(8, 8, bias_attr=False)), [([None, 8], "float32")], [x], "eps_small")


@case
def rms_overflow():
    def f(s, x):
        h = s.l(x)
        v = h.pow(2).mean(-1, keepdim=True)
        return h * paddle.rsqrt(v + 1e-6)

    x = img(3, 16) * 60
    l = nn.Linear(16, 16)
    l.weight.set_value(l.weight * 10)
    return build(Fn(f, l=l), [([None, 16], "float32")], [x], "rms_overflow")


@case
def norms_mixed_params():
    """X FP16 and Scale FP32, as F.instance_norm / layer_norm make it natively"""

    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv2D(3, 4, 3, padding=1)
            self.i = nn.InstanceNorm2D(4)
            self.l = nn.LayerNorm([4, 8, 8])

        def forward(self, x):
            y = self.i(self.c(x))
            return self.l(y)

    return build(N(), [([None, 3, 8, 8], "float32")], [img(2, 3, 8, 8)], "norms_mixed")


@case
def nms_fp32_tail():
    """PP-YOLOE tail: FP16 head, cast to FP32 before multiclass_nms3"""
    from paddle.base.layer_helper import LayerHelper

    def f(s, x):
        y = s.c(x).flatten(2)  # [1,8,64]
        boxes = y[:, :4].transpose([0, 2, 1])
        wh = paddle.abs(boxes[:, :, 2:]) + 1
        boxes = paddle.concat([boxes[:, :, :2], boxes[:, :, :2] + wh], -1).astype("float32")
        scores = F.sigmoid(y[:, 4:]).astype("float32")
        if paddle.in_dynamic_mode():
            return boxes, scores
        h = LayerHelper("multiclass_nms3")
        o = h.create_variable_for_type_inference("float32")
        i = h.create_variable_for_type_inference("int32")
        n = h.create_variable_for_type_inference("int32")
        h.append_op(
            type="multiclass_nms3",
            inputs={"BBoxes": boxes, "Scores": scores},
            outputs={"Out": o, "Index": i, "NmsRoisNum": n},
            attrs=dict(
                background_label=-1,
                score_threshold=0.3,
                nms_top_k=100,
                nms_threshold=0.6,
                keep_top_k=50,
                nms_eta=1.0,
                normalized=True,
            ),
        )
        return o, n

    return build(Fn(f, c=nn.Conv2D(3, 8, 3, padding=1)), [([1, 3, 8, 8], "float32")], [img(1, 3, 8, 8)], "nms_tail", ref=False)


@case
def lstm_crnn():
    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.l = nn.LSTM(16, 12, num_layers=2, direction="bidirect")
            self.g = nn.GRU(24, 8)
            self.o = nn.Linear(8, 5)

        def forward(self, x):
            y, _ = self.l(x)
            z, (h) = self.g(y)
            return F.softmax(self.o(z), -1), h

    n = N()
    n.eval()
    halfparams(n)
    x = img(2, 7, 16).astype("float16")
    want = [o.numpy() for o in n(paddle.to_tensor(x.astype("float32")))]
    p32 = os.path.join(TMP, "lstm32", "model")
    os.makedirs(os.path.dirname(p32), exist_ok=True)
    paddle.jit.save(n, p32, [S([None, 7, 16], "float32", "x0")])
    path = os.path.join(TMP, "lstm_crnn", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    B.halve(p32, path)
    return path, [x], want


@case
def topk_chain():
    def f(s, x):
        y = s.l(x)
        v, i = paddle.topk(y, 3, axis=-1)
        a = paddle.argmax(y, -1)
        so = paddle.argsort(y, axis=-1, descending=True)
        g = paddle.take_along_axis(y, i, -1)
        k = (y > 0.1).astype(y.dtype) * y
        oh = F.one_hot(a, 8).astype(y.dtype)
        c = paddle.cumsum(k, axis=1)
        return v, i, a, so.astype("int32"), g + oh[:, :3], c

    return build(Fn(f, l=nn.Linear(6, 8)), [([None, 6], "float32")], [img(4, 6)], "topk_chain")


@case
def dynamic_shapes():
    def f(s, x):
        b, c, h, w = paddle.shape(x)
        y = s.c(x).reshape([b, -1, h * w]).transpose([0, 2, 1])
        pos = paddle.arange(0, h * w, dtype="int64").astype(y.dtype) / 64.0
        y = y + pos.reshape([1, -1, 1])
        y = paddle.concat([s.cls.expand([b, -1, -1]), y], 1)
        z = paddle.zeros([b, 2, 4], dtype=y.dtype)
        y = paddle.concat([y, z], 1)
        return y[:, 1:], paddle.tile(y[:, :1], [1, 3, 1])

    n = Fn(f, c=nn.Conv2D(3, 4, 3, padding=1))
    n.cls = n.create_parameter([1, 1, 4], default_initializer=nn.initializer.Normal())
    return build(n, [([None, 3, None, None], "float32")], [img(2, 3, 6, 5)], "dynamic_shapes")


@case
def inplace_duplicates():
    """one variable written several times; two outputs the same; an input that is an output"""
    paddle.enable_static()
    main, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, start):
        x = paddle.static.data("x", [-1, 8], "float16")
        w = paddle.create_parameter([8, 8], "float16", name="w", default_initializer=nn.initializer.Constant(0.1))
        y = paddle.matmul(x, w)
        blk = main.global_block()
        blk.append_op(type="relu", inputs={"X": y}, outputs={"Out": y}, attrs={})
        blk.append_op(
            type="scale", inputs={"X": y}, outputs={"Out": y}, attrs={"scale": 0.5, "bias": 0.25, "bias_after_scale": True}
        )
        blk.append_op(type="elementwise_add", inputs={"X": y, "Y": x}, outputs={"Out": y}, attrs={"axis": -1})
        z = paddle.tanh(y)
    path = os.path.join(TMP, "inplace", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_static(main, path, ["x"], [y.name, z.name, z.name, "x"], {"w": (rs.randn(8, 8) * 0.3).astype("float16")})
    paddle.disable_static()
    xin = img(3, 8).astype("float16")
    W = W_LAST["w"].astype("float32")
    yy = np.maximum(xin.astype("float32") @ W, 0) * 0.5 + 0.25 + xin.astype("float32")
    return path, [xin], [yy, np.tanh(yy), np.tanh(yy), xin.astype("float32")]


@case
def names_collide():
    """variables named like those the restoration makes: x.fp32, x.before_cast, p2o.Add.0"""
    paddle.enable_static()
    main, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, start):
        x = paddle.static.data("x", [-1, 16], "float16")
        blk = main.global_block()

        def var(n):
            return blk.create_var(name=n, dtype="float16", shape=[-1, 16])

        a, b, c, d, e = var("x.fp32"), var("x.before_cast"), var("p2o.Add.0"), var("x.fp16"), var("y")
        mean, vv = [blk.create_var(name=n, dtype="float16", shape=[-1]) for n in ("m", "v")]
        sc = paddle.create_parameter([16], "float16", name="s", default_initializer=nn.initializer.Constant(1.0))
        bi = paddle.create_parameter([16], "float16", name="b", default_initializer=nn.initializer.Constant(0.0))
        ln = lambda i, o: blk.append_op(
            type="layer_norm",
            inputs={"X": i, "Scale": sc, "Bias": bi},
            outputs={"Y": o, "Mean": mean, "Variance": vv},
            attrs={"epsilon": 1e-5, "begin_norm_axis": 1},
        )
        ln(x, b)
        ln(b, a)
        blk.append_op(type="elementwise_add", inputs={"X": a, "Y": x}, outputs={"Out": c}, attrs={"axis": -1})
        ln(c, d)
        blk.append_op(type="elementwise_add", inputs={"X": d, "Y": b}, outputs={"Out": e}, attrs={"axis": -1})
    path = os.path.join(TMP, "collide", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_static(
        main, path, ["x"], ["y"], {"s": (1 + rs.randn(16) * 0.1).astype("float16"), "b": (rs.randn(16) * 0.1).astype("float16")}
    )
    paddle.disable_static()
    xin = img(3, 16).astype("float16")
    s_, b_ = W_LAST["s"].astype("float64"), W_LAST["b"].astype("float64")
    L = lambda t: (t - t.mean(1, keepdims=True)) / np.sqrt(t.var(1, keepdims=True) + 1e-5) * s_ + b_
    X = xin.astype("float64")
    bb = L(X)
    aa = L(bb)
    cc = aa + X
    dd = L(cc)
    return path, [xin], [dd + bb]


W_LAST = {}


def write_static(main, path, feeds, fetches, params):
    W_LAST.clear()
    W_LAST.update(params)
    main = main.clone()
    blk = main.global_block()
    fv = blk.create_var(name="feed", type=paddle.base.core.VarDesc.VarType.FEED_MINIBATCH, persistable=True)
    ov = blk.create_var(name="fetch", type=paddle.base.core.VarDesc.VarType.FETCH_LIST, persistable=True)
    for i, n in enumerate(feeds):
        blk._prepend_op(type="feed", inputs={"X": [fv]}, outputs={"Out": [blk.var(n)]}, attrs={"col": i})
    for i, n in enumerate(fetches):
        blk.append_op(type="fetch", inputs={"X": [blk.var(n)]}, outputs={"Out": [ov]}, attrs={"col": i})
    open(path + ".pdmodel", "wb").write(main.desc.serialize_to_string())
    import struct

    code = {"float16": 4, "float32": 5, "int64": 3}
    with open(path + ".pdiparams", "wb") as f:
        for n in sorted(params):
            d = B.framework_pb2.VarType.TensorDesc(
                data_type=code[str(params[n].dtype)], dims=list(params[n].shape)
            ).SerializeToString()
            f.write(struct.pack("<IQIi", 0, 0, 0, len(d)) + d + params[n].tobytes())


@case
def empty_graph():
    paddle.enable_static()
    main = paddle.static.Program()
    with paddle.static.program_guard(main):
        x = paddle.static.data("x", [-1, 8], "float16")
    path = os.path.join(TMP, "empty", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_static(main, path, ["x"], ["x"], {})
    os.remove(path + ".pdiparams")
    paddle.disable_static()
    xin = img(3, 8).astype("float16")
    return path, [xin], [xin.astype("float32")]


@case
def only_int():
    def f(s, x):
        return paddle.argmax(x + 1, -1), x * 2

    n = Fn(f)
    n.eval()
    path = os.path.join(TMP, "onlyint", "model")
    xin = rs.randint(0, 9, (3, 4)).astype("int64")
    want = [o.numpy() for o in n(paddle.to_tensor(xin))]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 4], "int64", "x0")])
    return path, [xin], want


@case
def fp16_input_unused():
    def f(s, x, y):
        return paddle.argmax(y, -1)

    n = Fn(f)
    n.eval()
    path = os.path.join(TMP, "unused", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 4], "float16", "x0"), S([None, 4], "int64", "x1")])
    y = rs.randint(0, 9, (3, 4)).astype("int64")
    return path, [y], [y.argmax(-1)]


@case
def pure_bf16():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    net.eval()
    net.to(dtype="bfloat16")
    path = os.path.join(TMP, "bf16", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(net, path, [S([None, 8], "bfloat16", "x0")])
    return path, [img(2, 8)], None


@case
def bf16_inside_fp32():
    """AMP O1 bfloat16: FP32 inputs and weights, bf16 casts inside"""

    def f(s, x):
        return s.l(x.astype("bfloat16")).astype("float32")

    l = nn.Linear(8, 8)
    n = Fn(f, l=l)
    n.eval()
    l.to(dtype="bfloat16")
    path = os.path.join(TMP, "bf16b", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 8], "float32", "x0")])
    return path, [img(2, 8)], None


@case
def pir_json():
    path = os.path.join(TMP, "pir", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path + ".pdmodel", "w").write('{"base_code":{"magic":"pir","trainable":true,"version":1},"program":{"regions":[]}}')
    return path, [], None


@case
def bf16_amp_o2():
    net = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    net = paddle.amp.decorate(net, level="O2", dtype="bfloat16")
    net.eval()
    path = os.path.join(TMP, "bf16o2", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(net, path, [S([None, 8], "bfloat16", "x0")])
    return path, [img(2, 8)], None


@case
def nms_dynamic():
    p, i, w = nms_fp32_tail()
    return p, i, w


@case
def mask_broadcast_where():
    def f(s, x, m):
        q, k, v = s.q(x), s.k(x), s.v(x)
        sc = paddle.matmul(q, k, transpose_y=True) * 0.25
        neg = paddle.full_like(sc, -1e9)
        sc = paddle.where((m.unsqueeze(1) + paddle.zeros_like(sc).astype("int64")) > 0, sc, neg)
        return paddle.matmul(F.softmax(sc, -1), v)

    m = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], "int64")
    return build(
        Fn(f, q=nn.Linear(16, 16), k=nn.Linear(16, 16), v=nn.Linear(16, 16)),
        [([None, 5, 16], "float32"), ([None, 5], "int64")],
        [img(2, 5, 16), m],
        "mask_where2",
    )


@case
def ln_fp32_scale_17():
    """AMP O2: LayerNorm keeps FP32 scale and bias; and one with bias only, FP32"""

    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(16, 16)
            self.a = nn.LayerNorm(16)
            self.b = nn.LayerNorm(16, weight_attr=False)

        def forward(self, x):
            return self.b(self.a(self.l(x)))

    n = N()
    n.eval()
    halfparams(n)
    x = img(3, 16).astype("float16")
    want = [n(paddle.to_tensor(x.astype("float32"))).numpy()]
    n.l.to(dtype="float16")
    path = os.path.join(TMP, "ln17", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 16], "float16", "x0")])
    return path, [x], want


@case
def in_gn_fp32_scale():
    """InstanceNorm and GroupNorm with FP32 parameters behind an FP16 convolution, as Paddle's own kernels take them"""

    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv2D(3, 4, 3, padding=1)
            self.i = nn.InstanceNorm2D(4)

        def forward(self, x):
            return self.i(self.c(x))

    n = N()
    n.eval()
    n.i.scale.set_value(paddle.to_tensor([1.0, 2.0, 0.5, 1.5]))
    halfparams(n)
    x = img(2, 3, 8, 8).astype("float16")
    want = [n(paddle.to_tensor(x.astype("float32"))).numpy()]
    n.c.to(dtype="float16")
    path = os.path.join(TMP, "in", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 3, 8, 8], "float16", "x0")])
    return path, [x], want


@case
def prelu_fp32_alpha():
    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.c = nn.Conv2D(3, 4, 3, padding=1)
            self.p = nn.PReLU(4)

        def forward(self, x):
            return self.p(self.c(x))

    n = N()
    n.eval()
    halfparams(n)
    x = img(2, 3, 8, 8).astype("float16")
    want = [n(paddle.to_tensor(x.astype("float32"))).numpy()]
    n.c.to(dtype="float16")
    path = os.path.join(TMP, "prelu", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 3, 8, 8], "float16", "x0")])
    return path, [x], want


class Loop(nn.Layer):
    def __init__(self, stray=False):
        super().__init__()
        self.l = nn.Linear(8, 8)
        self.stray = stray

    def forward(self, x):
        i = paddle.zeros([1], "int64")
        y = self.l(x)
        while i < 3:
            y = self.l(y)
            i = i + 1
        if self.stray:
            return y, x.astype("float16")
        return y


class Cond(nn.Layer):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)

    def forward(self, x, n):
        y = self.l(x)
        if n.sum() > 2:
            y = y + 1
        else:
            y = y - 1
        return y


@case
def while_fp16():
    return build(Loop(), [([None, 8], "float32")], [img(2, 8)], "while_fp16")


@case
def cond_fp16():
    return build(Cond(), [([None, 8], "float32"), ([1], "int64")], [img(2, 8), np.array([3], "int64")], "cond_fp16")


def loop32(stray):
    n = Loop(stray)
    n.eval()
    xin = img(2, 8)
    out = n(paddle.to_tensor(xin))
    want = [o.numpy() for o in (out if stray else [out])]
    path = os.path.join(TMP, "stray%d" % stray, "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(n, path, [S([None, 8], "float32", "x0")])
    return path, [xin], want


@case
def while_fp32_stray_fp16():
    return loop32(True)


@case
def while_fp32_plain():
    return loop32(False)


def fp16_utils_black():
    return {"lookup_table", "lookup_table_v2", "scatter", "linear_interp_v2", "nearest_interp_v2", "bilinear_interp_v2"}


def amp_static(level, name):
    from paddle.static.amp import fp16_utils, AutoMixedPrecisionLists

    paddle.enable_static()
    main, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(main, start):
        x = paddle.static.data("x", [-1, 3, 16, 16], "float32")
        y = paddle.static.nn.conv2d(x, 8, 3, padding=1, bias_attr=False)
        y = paddle.static.nn.batch_norm(y, is_test=True)
        y = F.relu(y)
        y = F.max_pool2d(y, 2)
        y = F.interpolate(y, scale_factor=2, mode="bilinear")
        y = y.flatten(2).transpose([0, 2, 1])
        y = paddle.static.nn.fc(y, 16, num_flatten_dims=2)
        y = paddle.nn.LayerNorm(16)(y)
        a = F.softmax(paddle.matmul(y, y, transpose_y=True) * 0.25, -1)
        y = paddle.matmul(a, y).mean(1)
        y = paddle.static.nn.fc(y, 5)
        out = F.softmax(y, -1)
    exe = paddle.static.Executor(paddle.CPUPlace())
    exe.run(start)
    test = main.clone(for_test=True)
    xin = img(2, 3, 16, 16).astype("float16").astype("float32")
    want = exe.run(test, feed={"x": xin}, fetch_list=[out.name])
    lists = AutoMixedPrecisionLists()
    lists.unsupported_list = set(fp16_utils_black()) if level == "O2" else set()
    names = fp16_utils.cast_model_to_fp16(test, lists, use_fp16_guard=False, level=level)
    if level == "O2":
        fp16_utils.cast_parameters_to_fp16(paddle.CPUPlace(), test, to_fp16_var_names=names)
    path = os.path.join(TMP, name, "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.static.save_inference_model(
        path, [test.global_block().var("x")], [test.global_block().var(out.name)], exe, program=test, skip_prune_program=False
    )
    paddle.disable_static()
    return path, [xin], want


@case
def amp_o1_static():
    return amp_static("O1", "amp_o1")


@case
def amp_o2_static():
    return amp_static("O2", "amp_o2")


@case
def var16_params32():
    """convert_to_mixed_precision on a CPU wheel: VarDesc FP16, file FP32 (Paddle#57194)"""
    path, ins, want = base()
    values = B.read_params(path + ".pdiparams", B.saved_names(B.read_program(path + ".pdmodel")))
    B.write_params(
        {name: value.astype("float32") if value.dtype == np.float16 else value for name, value in values.items()},
        path + ".pdiparams",
    )
    return path, ins, want


@case
def var32_params16():
    path, ins, want = base()
    prog = B.read_program(path + ".pdmodel")
    for v in prog.blocks[0].vars:
        if v.persistable and B.tensor_desc(v) is not None and v.name.startswith("linear"):
            B.tensor_desc(v).data_type = B.FP32
    B.write_program(prog, path + ".pdmodel")
    return path, ins, want


@case
def tied_weights():
    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(50, 16)
            self.l = nn.Linear(16, 16)

        def forward(self, i):
            h = self.l(self.e(i))
            return paddle.matmul(h, self.e.weight, transpose_y=True), self.e.weight.astype("float32").sum()

    return build(N(), [([None, 6], "int64")], [rs.randint(0, 50, (2, 6)).astype("int64")], "tied")


@case
def scalars_0d():
    def f(s, x):
        y = s.l(x)
        m = y.mean()
        a = y / (y.max() + 1.0) * s.t
        z = paddle.ones_like(y) * m
        return a + z, m, paddle.full([], 3.5, dtype=y.dtype) * m

    n = Fn(f, l=nn.Linear(8, 8))
    n.t = n.create_parameter([1], default_initializer=nn.initializer.Constant(2.659))
    return build(n, [([None, 8], "float32")], [img(2, 8)], "scalars_0d")


@case
def fp64_in_middle():
    def f(s, x):
        y = s.l(x)
        d = y.astype("float64")
        d = paddle.exp(d * 0.1) + paddle.linspace(0, 1, 8, dtype="float64")
        return d.astype(y.dtype) + y, d

    return build(Fn(f, l=nn.Linear(8, 8)), [([None, 8], "float32")], [img(2, 8)], "fp64")


@case
def gn_gelu_silu_attention():
    """diffusion block: GroupNorm, SiLU, GELU(tanh), attention"""

    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.g = nn.GroupNorm(4, 16)
            self.c = nn.Conv2D(16, 16, 3, padding=1)
            self.l = nn.Linear(16, 16)
            self.n = nn.LayerNorm(16)

        def forward(self, x):
            y = self.c(F.silu(self.g(x))) + x
            b, c, h, w = y.shape
            t = y.flatten(2).transpose([0, 2, 1])
            t = self.n(t)
            t = F.gelu(self.l(t), approximate=True) + F.gelu(t)
            a = F.softmax(paddle.matmul(t, t, transpose_y=True) * 0.25, -1)
            return (
                F.mish(paddle.matmul(a, t))
                + F.hardswish(t)
                + F.log_sigmoid(t * 8)
                + F.softplus(t)
                + paddle.log1p(paddle.abs(t) * 1e-3)
            )

    return build(N(), [([None, 16, 8, 8], "float32")], [img(1, 16, 8, 8)], "diffusion")


@case
def log_tail():
    """logsigmoid of -20, log1p of 1e-4, softplus and mish of large values"""

    def f(s, x):
        y = x * s.w
        return F.log_sigmoid(y * 20), paddle.log1p(paddle.abs(y) * 1e-4), F.softplus(y * 30), F.mish(y * 10)

    n = Fn(f)
    n.w = n.create_parameter([8], default_initializer=nn.initializer.Constant(1.0))
    return build(n, [([None, 8], "float32")], [np.linspace(-1.2, 1.2, 24).reshape(3, 8).astype("float32")], "log_tail")


@case
def train_mode_bn():
    net = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.Dropout(0.3), nn.AdaptiveAvgPool2D(1))
    net.train()
    net.to(dtype="float16")
    path = os.path.join(TMP, "train", "model")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    paddle.jit.save(net, path, [S([None, 3, 16, 16], "float16", "x0")])
    return path, [img(2, 3, 16, 16).astype("float16")], None


@case
def set_value_slice():
    def f(s, x):
        y = s.l(x)
        y[:, 0] = 0.5
        return y

    return build(Fn(f, l=nn.Linear(8, 8)), [([None, 8], "float32")], [img(2, 8)], "set_value")


@case
def interp_deconv_pad():
    class N(nn.Layer):
        def __init__(self):
            super().__init__()
            self.d = nn.Conv2DTranspose(4, 4, 4, stride=2, padding=1, bias_attr=True)
            self.p = nn.PReLU(4)
            self.q = nn.Conv2D(4, 4, 3, groups=4, padding="SAME")

        def forward(self, x):
            y = self.p(self.d(x))
            y = F.pad(y, [1, 1, 2, 2], mode="reflect")
            y = F.pad(y, [1, 1, 1, 1], value=-1e5)
            y = F.pixel_shuffle(self.q(F.avg_pool2d(y, 3, 1, 1)), 2)
            return F.adaptive_avg_pool2d(y, 1), y.max(axis=[2, 3])

    return build(N(), [([None, 4, 8, 8], "float32")], [img(2, 4, 8, 8)], "deconv")


def by_release(path, opset):
    """The released core in a forked child: the bytes, or how it ended."""
    target = os.path.join(TMP, "release.onnx")
    if os.path.exists(target):
        os.remove(target)
    child = os.fork()
    if child == 0:
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            params = path + ".pdiparams"
            data = load(args.release).export(
                path + ".pdmodel",
                params if os.path.isfile(params) else "",
                opset,
                True,
                False,
                True,
                True,
                True,
                {},
                "onnxruntime",
                "",
                "",
                False,
            )
            with open(target, "wb") as file:
                file.write(data)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.path.isfile(target):
        with open(target, "rb") as file:
            return file.read()
    return "SIGABRT" if status & 127 == 6 else "signal %d" % (status & 127)


def judged(model, ins, want, nodes=False):
    """{"checker", "runtime"} of the bytes of a model, and "nodes" where that is asked for and does not take 10 s (Resize)."""
    row = {}
    try:
        onnx.checker.check_model(model, full_check=True)
        row["checker"] = "valid"
    except Exception as error:
        row["checker"] = " ".join(str(error).split())[-160:]
    for key, run in (("runtime", B.run_onnx), ("nodes", B.run_nodes))[: 1 + nodes]:
        signal.alarm(10)
        try:
            given = without_roi(onnx.load_from_string(model)) if key == "nodes" else model
            row[key] = worst(run(given, ins), want)
        except TimeoutError:
            row[key] = "more than 10 s"
        except Exception as error:
            row[key] = "does not run: " + " ".join(str(error).split())[:120]
        finally:
            signal.alarm(0)
    return row


def too_slow(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, too_slow)


def worst(got, want):
    """The largest error over all outputs."""
    if want is None:
        return None
    if len(got) != len(want):
        return "%d outputs, not %d" % (len(got), len(want))
    found = []
    for one, other in zip(got, want):
        one, other = np.asarray(one, "float64"), np.asarray(other, "float64")
        if one.shape != other.shape:
            return "shape %s, not %s" % (one.shape, other.shape)
        if not np.isfinite(one).all() and np.isfinite(other).all():
            return "not finite"
        found.append(float(np.nanmax(np.abs(one - other)) / (np.abs(other[np.isfinite(other)]).max() or 1)) if one.size else 0.0)
    return max(found)


def row_of(name, opset):
    row = {"program": name, "asked": opset}
    try:
        path, ins, want = CASES[name]()
    except ValueError as error:
        return {**row, "unsaved": " ".join(str(error).split())[:300]}
    try:
        base = B.evaluate(path, ins)
        row["control"] = worst(B.evaluate(path, ins, rounded=True), base)
    except Exception as error:
        base, row["control"] = want, None
        row["no_reference"] = " ".join(str(error).split())[:80]
    try:
        model = B.convert(path, opset)
    except Exception as error:
        row["refused"] = " ".join(str(error).split())[:300]
    else:
        row["opset"] = B.opset_of(model)
        row.update(judged(model, ins, base, nodes=True))
        if not at_control(row):
            row["float32"] = in_float32(path, ins, base, opset)
    if args.release:
        old = by_release(path, opset)
        row["release"] = old if isinstance(old, str) else "empty" if not old else judged(old, ins, base)
    return row


def in_float32(path, ins, want, opset):
    """What comes out of the same program in float32."""
    try:
        return judged(B.convert(path + ".float32", opset), ins, want, nodes=True)
    except Exception as error:
        return "refused: " + " ".join(str(error).split())[:120]


def near(row, key, limit=1e-3):
    return isinstance(row, dict) and isinstance(row.get(key), float) and row[key] <= limit


def at_control(row):
    """Whether both errors are within twice what rounding alone costs, or within 0.1 %; a number that is missing is none."""
    limit = max(1e-3, 2 * row["control"]) if isinstance(row["control"], float) else 1e-3
    return near(row, "runtime", limit) and near(row, "nodes", limit)


def beyond(row):
    """Whether FP16 is worse than its control where the same program in float32 is right; FP16 itself overflows where there is no control."""
    if "checker" not in row or not isinstance(row["control"], float):
        return False
    limit = max(1e-3, 2 * row["control"])
    return any(not near(row, key, limit) and near(row["float32"], key) for key in ("runtime", "nodes") if "float32" in row)


def markdown(rows):
    """One line a program: this branch beside the release, and why, below, where a program is refused.

    "In float32" is the same program in float32 by this core, where the error is beyond the control or there is none.
    """

    def cell(value):
        return "%.1e" % value if isinstance(value, float) else "-" if value is None else str(value).split(":")[0]

    def outcome(row):
        return "refused" if "refused" in row else "valid" if row["checker"] == "valid" else "NOT VALID"

    def of(old):
        if not isinstance(old, dict):
            return old or "-"
        errors = [cell(old[key]) for key in ("runtime", "nodes") if key in old]
        return ", ".join(["valid" if old["checker"] == "valid" else "not valid"] + errors)

    lines = ["| Program | Opset | Outcome | ONNX Runtime | Node by node | Control | In float32 | Release |", "|-|-|-|-|-|-|-|-|"]
    notes = []
    for row in rows:
        if "broken" in row or "unsaved" in row:
            lines.append("| %s | - | %s | - | - | - | - | - |" % (row["program"], "NOT RUN" if "broken" in row else "not saved"))
            notes.append("- %s: %s" % (row["program"], row.get("broken") or "Paddle does not save it: " + row["unsaved"]))
            continue
        cells = [row["program"], str(row.get("opset", row["asked"])), outcome(row)]
        cells += [cell(row.get(key)) for key in ("runtime", "nodes", "control")]
        lines.append("| %s |" % " | ".join(cells + [of(row.get("float32")), of(row.get("release"))]))
        if "refused" in row:
            notes.append("- %s: %s" % (row["program"], row["refused"]))
    return "\n".join(lines + ["", "What is refused, by which sentence:", ""] + notes) + "\n"


def main():
    rows, target = [], os.path.join(args.out, "reports.json")
    names = args.only.split(",") if args.only else list(CASES)
    for name in names:
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(send, json.dumps(row_of(name, 13), default=str).encode())
            except BaseException as error:
                os.write(send, json.dumps({"program": name, "broken": repr(error)[:300]}).encode())
            os._exit(0)
        os.close(send)
        with os.fdopen(receive, "rb") as stream:
            text = stream.read()
        status = os.waitpid(child, 0)[1]
        rows.append(json.loads(text) if text else {"program": name, "broken": "signal %d" % (status & 127)})
        print(rows[-1], flush=True)
    if args.only and os.path.isfile(target):
        with open(target) as file:
            rows += [row for row in json.load(file) if row["program"] not in names]
        rows.sort(key=lambda row: list(CASES).index(row["program"]))
    with open(target, "w") as file:
        json.dump(rows, file, indent=1)
    with open(os.path.join(args.out, "reports.md"), "w") as file:
        file.write(markdown(rows))
    broken = [row for row in rows if "broken" in row]
    invalid = [row for row in rows if row.get("checker", "valid") != "valid"]
    worse = [row["program"] for row in rows if beyond(row)]
    metrics = {"programs": len(rows), "broken": len(broken), "invalid": len(invalid), "beyond_control": len(worse)}
    write_metrics(args.out, metrics=metrics)
    print(metrics, worse)


if __name__ == "__main__":
    main()
