"""Our SOLIDER against the stored runs of the reference: outputs, loss, gradients, five steps, static graph.

    python checks/align.py --out DIR --reference DIR [--sizes tiny small base] [--dtypes float32 float64] [--part trainings]

The part "outputs" takes every output and one training run of a size, the part "trainings" the training runs at the other image
sizes and semantic weights. Keys that end in .f64 are runs of our model in float64 against the reference in float64.
"""

import numpy as np
import paddle
import paddle.nn.functional as F
import reference_set

from proving import case
from proving.record import Recorder, arguments
from proving.static_proof import prepare_environment

LEARNING_RATE = 0.01


class Case(case.Case):
    def __init__(self, recorder, one, dtype):
        super().__init__(recorder, one, dtype, one.short)

    def forward(self):
        """Compare all outputs; returns {stem of the keys: {name: array}}."""
        runs = {}
        for key, value in reference_set.run_forward(self.reference, self.dtype):
            stem, _, name = key.rpartition(".")
            runs.setdefault(stem, {})[name] = value
            self.compare("forward", key, value)
        return runs

    def target(self, name, shape):
        return self.reference.seeded("input:solider:target:" + name, shape)

    def training_input(self, runs):
        """(image size, semantic weight) of the training run: what the manifest says, else of the run whose first loss it is."""
        named, gaps, want = self.reference.manifest.get("train"), [], float(self.stored("train.loss").reshape(-1)[0])
        if named:
            return tuple(named["size"]), named["semantic_weight"]
        for size, weight, stem in self.reference.runs():
            parts = {name: value for name, value in runs[stem].items() if name.startswith(("global", "out"))}
            loss = sum(np.square(value - self.target(name, value.shape)).mean(dtype=np.float64) for name, value in parts.items())
            gaps.append((abs(loss - want), size, weight))
        gap, size, weight = min(gaps)
        if gap > 1e-3 * abs(want):
            raise SystemExit(
                "%s: no run of the set has the first loss of its training\n"
                '  next  say "train": {"size": [H, W], "semantic_weight": W} in its manifest' % self.reference.name
            )
        return size, weight

    def vectors(self, stage, stem, values):
        """Norms and dot products with the probes, in the layout and the order of the reference; returns the norms."""
        self.vector(stage, stem + "_l2", values, case.norm)
        self.vector(stage, stem + "_probe_dot", values, self.probe)
        return self.numbers(values, case.norm)

    def train(self, size, weight, prefix=""):
        """As many steps as the set holds, at this image size and semantic weight; its keys begin with `prefix`."""
        steps = self.length(prefix + "sgd.loss_seq") or self.length(prefix + "train.loss")
        if not steps:
            return
        model, found = self.reference.model(size, self.dtype), {}
        x = paddle.to_tensor(self.reference.image(size).astype(self.dtype))
        wanted = {
            name: paddle.to_tensor(self.target(name, v.shape).astype(v.dtype))
            for name, v in reference_set.outputs(model(x, weight)).items()
        }

        def loss():
            result = model(x, weight)
            parts = [result["logits"], *result["stages"]]
            return sum(F.mse_loss(part, target) for part, target in zip(parts, wanted.values()))

        losses = case.descend(model, loss, LEARNING_RATE, steps, lambda: found.update(case.gradients(model)), finish=True)
        gradients = self.reference.layout.back(found)
        self.series("loss", prefix + "train.loss", losses[:1])
        norms, key = self.vectors("backward", prefix + "train.grad", gradients), prefix + "train.grad_l2"
        if self.holds(key):
            # each norm by itself: a small gradient must not hide behind a large one
            floor = np.maximum(self.stored(key), 1e-3 * self.stored(key).max())
            self.made("backward", key + ".each", norms / floor, self.stored(key) / floor)
        if not self.double:
            exists = [gradients[name] is not None for name in self.reference.order]
            self.compare("backward", prefix + "train.grad_exists", np.array(exists, np.uint8))
        self.series("optimizer", prefix + "sgd.loss_seq", losses)
        values = {name: value.numpy() for name, value in model.state_dict().items()}
        self.vectors("optimizer", prefix + "sgd.param", self.reference.layout.back(values))

    def static(self):
        """The whole-graph static program on the last image size, with the semantic weight as an input of the program."""
        prepare_environment("ast")
        size, weight, stem = list(self.reference.runs())[-1]
        spec = [paddle.static.InputSpec([None, 3] + list(size), "float32"), paddle.static.InputSpec([None], "float32")]
        model, x = self.reference.model(size), self.reference.image(size)
        paddle.jit.to_static(model, input_spec=spec, full_graph=True)
        with paddle.no_grad():
            result = model(paddle.to_tensor(x), paddle.to_tensor(np.full(len(x), weight, "float32")))
        model.forward.rollback()
        for name, value in reference_set.outputs(result).items():
            self.compare("static", "%s.%s" % (stem, name), value, pair="static.%s.%s" % (stem, name))


def main():
    args = arguments(
        lambda parser: (
            parser.add_argument("--sizes", nargs="+", default=list(reference_set.SIZES), choices=reference_set.SIZES),
            parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=["float32", "float64"]),
            parser.add_argument("--part", default="outputs", choices=["outputs", "trainings"]),
        )
    )
    recorder = Recorder(args.out)
    for one in reference_set.find(args.reference, args.sizes):
        if args.part == "outputs":
            model = one.model(tuple(one.inputs[0]["shape"][2:]))
            index = model.layers[0].blocks[0].attn.relative_position_index
            Case(recorder, one, "float32").compare(
                "forward", "buffer.relative_position_index", index, pair="relative_position_index"
            )
        for dtype in args.dtypes:
            case = Case(recorder, one, dtype)
            if args.part == "trainings":
                for size, weight, stem in one.runs(".train.loss"):
                    case.train(size, weight, stem + ".")
            else:
                runs = case.forward()
                if case.length("train.loss"):
                    case.train(*case.training_input(runs))
                if dtype == "float32" and one.size == args.sizes[0]:
                    case.static()
            case.close()
        one.forget()
    recorder.write()


if __name__ == "__main__":
    main()
