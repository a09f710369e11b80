"""Alignment of PIDNet with the reference: forward, every loss term, gradients, running statistics and SGD steps.

The reference set holds what XuJiacong/PIDNet computed on weights that are rebuilt here from the parameter names alone. Each
size is run in float32 and again in float64; keys of the float64 run end in `.f64` and are compared with the float64 run of the
reference.

Two definitions differ between the frameworks and are brought together here, not tolerated:
- Paddle updates the running variance with the biased variance of the batch, PyTorch with the unbiased one. The update of each
  layer is scaled by n / (n - 1) before it is compared, n being the number of values a channel had.
- The reference fails when no pixel is sure to be a boundary (`eval.loss_index_error`); the loss here is zero then. That zero is
  recorded against zero.
"""

import importlib.util
import os

import numpy as np
import paddle
from paddleseg.models import PIDNet, losses
from paddleseg.models.backbones import PIDNetBackbone
from paddleseg.transforms import AddEdgeLabel, Compose, Normalize

from proving import seeding
from proving.record import Recorder, arguments

SIZES = ("s", "m", "l")
IGNORE = 255
THRESH, MIN_KEPT = 0.9, 131072
COEF = (1.0, 0.4, 20.0, 1.0)  # main, auxiliary, boundary, boundary-aware
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]

FEATURES = {
    "conv1": "stem",
    "layer1": "i_stage1",
    "layer2": "i_stage2",
    "layer3": "i_stage3",
    "layer4": "i_stage4",
    "layer5": "i_stage5",
    "layer3_": "p_stage3",
    "layer4_": "p_stage4",
    "layer5_": "p_stage5",
    "layer3_d": "d_stage3",
    "layer4_d": "d_stage4",
    "layer5_d": "d_stage5",
    "compression3": "p_lateral3",
    "compression4": "p_lateral4",
    "diff3": "d_lateral3",
    "diff4": "d_lateral4",
    "pag3": "p_guide3",
    "pag4": "p_guide4",
    "spp": "i_context",
    "dfm": "fusion",
}
HEADS = {"extra_p": "aux_head", "main": "head", "extra_d": "boundary_head"}


def load_converter():
    """The converter that the change ships: its name table is what pairs the parameters."""
    path = os.path.join(os.getcwd(), "tools", "convert_pidnet.py")
    spec = importlib.util.spec_from_file_location("convert_pidnet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


convert_pidnet = load_converter()


def norm(value):
    return float(np.sqrt(np.square(value.astype(np.float64)).sum()))


class Case:
    """One size in one precision."""

    def __init__(self, recorder, size, dtype, directory):
        self.recorder, self.size, self.dtype = recorder, size, dtype
        self.double = dtype == "float64"
        self.manifest = seeding.read_manifest(os.path.join(directory, "pidnet_%s.manifest.json" % size))
        self.golden = dict(np.load(os.path.join(directory, "pidnet_%s.npz" % size)))
        self.small_lr = os.path.join(directory, "pidnet_sgd_small_lr.npz")
        self.prefix = seeding.seed_prefix(self.manifest)
        ctor = self.manifest["ctor"]
        self.classes = ctor["num_classes"]
        spec = self.manifest["input"]
        self.image = seeding.seeded(spec["name"], spec["shape"], spec["kind"], self.prefix)
        self.label = seeding.seeded_labels(
            "input:pidnet:label", spec["shape"][0], *spec["shape"][2:], num_classes=self.classes, ignore=IGNORE, prefix=self.prefix
        )

        paddle.set_default_dtype(dtype)
        backbone = PIDNetBackbone(
            in_channels=spec["shape"][1],
            base_channels=ctor["planes"],
            block_layers=[ctor["m"], ctor["n"]],
            context_channels=ctor["ppm_planes"],
            lightweight=ctor["m"] == 2,
        )
        self.model = PIDNet(self.classes, backbone, head_channels=ctor["head_planes"], align_corners=True)
        weight = self.manifest["class_weights"]
        ohem = {"weight": weight, "thresh": THRESH, "min_kept": MIN_KEPT, "ignore_index": IGNORE}
        self.losses = {
            "types": [
                losses.PIDNetOhemLoss(**ohem),
                losses.PIDNetAuxLoss(weight=weight, ignore_index=IGNORE),
                losses.PIDNetBoundaryLoss(ignore_index=IGNORE),
                losses.PIDNetBoundaryAwareLoss(boundary_thresh=0.8, **ohem),
            ],
            "coef": list(COEF),
        }

        self.table = convert_pidnet.name_table(ctor["m"], ctor["n"], ctor["m"] == 2)
        state = convert_pidnet.strip_checkpoint(dict(seeding.parameters(self.manifest)))
        expected = {name: value.shape for name, value in self.model.state_dict().items()}
        self.weights = {name: value.astype(dtype) for name, value in convert_pidnet.convert(state, expected).items()}
        self.parameters = dict(self.model.named_parameters())
        self.reset()

    # --- what is compared

    def key(self, name):
        return "%s.%s%s" % (self.size, name, ".f64" if self.double else "")

    def add(self, stage, name, got):
        """Compare with the stored value; in float64 only where the reference has a float64 copy."""
        want = name + "__f64" if self.double else name
        if want not in self.golden:
            return
        value, stored = seeding.samples(
            self.golden,
            want,
            np.asarray(got).reshape(self.golden[want].shape) if want + "__shape" not in self.golden else np.asarray(got),
        )
        self.recorder.add(stage, self.key(name), value, stored)
        if want + "__stats" in self.golden:
            self.recorder.add(stage, self.key(name + ".statistics"), *seeding.stored_statistics(self.golden, want, got))

    # --- running the model

    def reset(self):
        missing, unexpected = self.model.set_state_dict({name: paddle.to_tensor(value) for name, value in self.weights.items()})
        assert not missing and not unexpected, (missing, unexpected)
        self.model.clear_gradients()

    def mode(self, training):
        """Batch normalization in the asked mode; the three outputs in either."""
        self.model.train() if training else self.model.eval()
        self.model.training = True

    def terms(self, edge):
        """The four weighted loss terms and the three outputs at the size of the label."""
        outputs = self.model(paddle.to_tensor(self.image.astype(self.dtype)))
        data = {"label": paddle.to_tensor(self.label.astype("int64")), "edge": edge}
        return self.model.loss_computation(outputs, self.losses, data), outputs

    def ordered(self, order, read):
        """`read(tensor here, name there)` of every name of the reference, in its order."""
        return np.array([read(convert_pidnet.rename(name, self.table), name) for name in order])

    def probe(self, name, value):
        return float(
            np.vdot(value.astype(np.float64), seeding.seeded("probe:" + name, value.shape, "input", self.prefix).astype(np.float64))
        )

    # --- the stages

    def edges(self):
        """The edge labels and the normalized image, through the transforms of the suite."""
        height, width = self.label.shape[1:]
        pipeline = Compose([AddEdgeLabel(), Normalize(mean=MEAN, std=STD)])
        edges = []
        for index, label in enumerate(self.label):
            picture = seeding.smooth_image("input:pidnet:image:%d" % index, height, width, self.prefix)
            sample = pipeline({"img": picture.astype("float32"), "label": label, "gt_fields": ["label"]})
            edges.append(sample["edge"])
            if index == 0 and not self.double:
                self.add("forward", "gen_sample.image0", sample["img"])
        if not self.double:
            self.add("forward", "label", self.label)
            self.add("forward", "edge", np.stack(edges))
        return paddle.to_tensor(np.stack(edges))

    def forward(self, name, training, edge):
        """One forward pass with the features kept, and its loss terms."""
        self.reset()
        self.mode(training)
        kept, counts, hooks = {}, {}, []

        def keep(key):
            def hook(layer, inputs, output):
                kept[key] = output

            return hook

        def count(key):
            def hook(layer, inputs):
                shape = inputs[0].shape
                counts[key] = int(shape[0] * shape[2] * shape[3])

            return hook

        for there, here in FEATURES.items():
            hooks.append(getattr(self.model.backbone, here).register_forward_post_hook(keep("feat." + there)))
        for there, here in HEADS.items():
            hooks.append(getattr(self.model, here).register_forward_post_hook(keep("out." + there)))
        for layer_name, layer in self.model.named_sublayers():
            if isinstance(layer, paddle.nn.BatchNorm2D):
                hooks.append(layer.register_forward_pre_hook(count(layer_name)))
        terms, outputs = self.terms(edge)
        for hook in hooks:
            hook.remove()
        for key, value in kept.items():
            self.add("forward", "%s.%s" % (name, key), value.numpy())
        return terms, outputs, counts

    def loss_terms(self, name, terms, outputs):
        main, auxiliary, boundary, aware = [float(term) for term in terms]
        self.add("loss", name + ".ohem_main", main)
        self.add("loss", name + ".ce_extra_p_mean_over_all_pixels", auxiliary / COEF[1])
        self.add("loss", name + ".loss_s_mean", main + auxiliary)
        self.add("loss", name + ".loss_b", boundary)
        self.add("loss", name + ".loss_sb", aware)
        self.add("loss", name + ".loss_total", main + auxiliary + boundary + aware)
        self.add("loss", name + ".loss", main + auxiliary + boundary + aware)
        label = self.losses["types"][3].boundary_label(outputs[2], paddle.to_tensor(self.label.astype("int64"))).numpy()
        self.add("loss", name + ".bas_label", label[:, 0].astype("uint8"))
        self.add("loss", name + ".n_bas_pixels", (label != IGNORE).sum())
        if name + ".loss_index_error" in self.golden and int(self.golden[name + ".loss_index_error"].reshape(-1)[0]):
            self.recorder.add("loss", self.key(name + ".loss_of_no_boundary"), aware, 0.0)

    def gradients(self, name):
        order = self.manifest["param_order"]
        grads = {key: value.grad for key, value in self.parameters.items()}
        arrays = {key: np.zeros(self.parameters[key].shape) if grad is None else grad.numpy() for key, grad in grads.items()}
        self.add("backward", name + ".grad_l2", self.ordered(order, lambda here, there: norm(arrays[here])))
        self.add("backward", name + ".grad_probe_dot", self.ordered(order, lambda here, there: self.probe(there, arrays[here])))
        if not self.double:
            self.add(
                "backward", name + ".grad_exists", self.ordered(order, lambda here, there: grads[here] is not None).astype("uint8")
            )

    def buffers(self, name, counts):
        state = {key: value.numpy().astype(np.float64) for key, value in self.model.state_dict().items()}

        def read(here, there):
            value = state[here]
            layer, leaf = here.rsplit(".", 1)
            if leaf == "_variance":
                n = counts[layer]
                kept = 0.9 * self.weights[here].astype(np.float64)
                value = kept + (value - kept) * n / (n - 1)
            return value

        self.add("forward", name + ".buffer_l2", self.ordered(self.manifest["buffer_order"], lambda h, t: norm(read(h, t))))
        for there in self.manifest["buffer_order"]:
            key = "%s.%s" % (name, there)
            if key in self.golden and not self.double:
                self.add("forward", key, read(convert_pidnet.rename(there, self.table), there))

    def stored_sequence(self, name):
        """What the set holds of an SGD run, None if it has none of that name."""
        if name == "sgd_lr1e-5":
            if not os.path.isfile(self.small_lr):
                return None
            head = self.size + "."
            golden = {key[len(head) :]: value for key, value in np.load(self.small_lr).items() if key.startswith(head)}
        else:
            golden = self.golden
        suffix = "__f64" if self.double else ""
        found = {
            key[len(name) + 1 :]: golden[key + suffix]
            for key in golden
            if key.startswith(name + ".") and not key.endswith("__f64") and key + suffix in golden
        }
        return found or None

    def sgd_bneval(self, edge):
        """Five steps of plain SGD in eval mode, without the boundary-aware term: well conditioned, so compared in full."""
        golden = self.stored_sequence("sgd_bneval")
        if golden is None:
            return
        self.reset()
        self.mode(False)
        optimizer = paddle.optimizer.SGD(learning_rate=0.01, parameters=self.model.parameters())
        pieces = []
        for step, wanted in enumerate(golden["loss_seq"]):
            terms = self.terms(edge)[0][:3]
            sum(terms).backward()
            if step == 0:
                self.gradients("bneval")
            optimizer.step()
            optimizer.clear_grad()
            main, auxiliary, boundary = [float(term) for term in terms]
            pieces.append([main + auxiliary, boundary, 0.0])
            self.recorder.add("optimizer", self.key("sgd_bneval.loss.%d" % (step + 1)), main + auxiliary + boundary, wanted)
        self.recorder.add("optimizer", self.key("sgd_bneval.loss_pieces"), np.array(pieces), golden["loss_pieces"])
        order = self.manifest["param_order"]
        values = {key: value.numpy() for key, value in self.parameters.items()}
        self.recorder.add(
            "optimizer",
            self.key("sgd_bneval.param_l2"),
            self.ordered(order, lambda here, there: norm(values[here])),
            golden["param_l2"],
        )
        self.recorder.add(
            "optimizer",
            self.key("sgd_bneval.param_probe_dot"),
            self.ordered(order, lambda here, there: self.probe(there, values[here])),
            golden["param_probe_dot"],
        )

    def sgd_bntrain(self, name, rate, steps, first_loss, first_grads, edge):
        """The losses of the first `steps` steps of plain SGD in train mode. Later ones are chaotic in the reference itself.

        The first step is the training pass that was made already, and after the last loss no gradient is needed.
        """
        golden = self.stored_sequence(name)
        if golden is None:
            return
        self.reset()
        self.mode(True)
        optimizer = paddle.optimizer.SGD(learning_rate=rate, parameters=self.model.parameters())
        wanted = golden["loss_seq"]
        for step in range(min(steps, len(wanted))):
            if step == 0:
                loss = first_loss
                for key, grad in first_grads.items():
                    self.parameters[key].grad = grad
            elif step == steps - 1:
                with paddle.no_grad():
                    loss = float(sum(self.terms(edge)[0]))
            else:
                total = sum(self.terms(edge)[0])
                total.backward()
                loss = float(total)
            self.recorder.add("optimizer", self.key("%s.loss.%d" % (name, step + 1)), loss, wanted[step])
            if step < steps - 1:
                optimizer.step()
                optimizer.clear_grad()

    def run(self):
        edge = self.edges()
        if not self.double:
            with paddle.no_grad():
                terms, outputs, _ = self.forward("eval", False, edge)
            self.loss_terms("eval", terms, outputs)
        terms, outputs, counts = self.forward("train", True, edge)
        self.loss_terms("train", terms, outputs)
        total = sum(terms)
        total.backward()
        self.gradients("train")
        self.buffers("train", counts)
        first_grads = {name: value.grad.clone() for name, value in self.parameters.items() if value.grad is not None}
        self.sgd_bneval(edge)
        self.sgd_bntrain("sgd", 0.01, 2, float(total), first_grads, edge)
        self.sgd_bntrain("sgd_lr1e-5", 1e-5, 3, float(total), first_grads, edge)


def units(recorder, directory, prefix, dtype):
    """The losses alone, on stored labels and seeded scores."""
    path = os.path.join(directory, "pidnet_loss_units.npz")
    if not os.path.isfile(path):
        return
    golden = dict(np.load(path))
    double = dtype == "float64"
    classes_weight = None
    for size in SIZES:
        manifest = os.path.join(directory, "pidnet_%s.manifest.json" % size)
        if os.path.isfile(manifest):
            classes_weight = seeding.read_manifest(manifest)["class_weights"]
    paddle.set_default_dtype(dtype)
    label = golden["label"]
    scores = 3 * seeding.seeded("input:pidnet:unit:score", (len(label), len(classes_weight)) + label.shape[1:], "input", prefix)

    def compare(name, criterion, logit, target, coef=1.0):
        suffix = "__f64" if double else ""
        logit = paddle.to_tensor(logit.astype(dtype), stop_gradient=False)
        loss = coef * criterion(logit, paddle.to_tensor(target.astype("int64")))
        loss.backward()
        end = ".f64" if double else ""
        recorder.add("loss", "unit.%s.loss%s" % (name, end), float(loss), golden[name + ".loss" + suffix].reshape(()))
        if not double:
            recorder.add("backward", "unit.%s.grad" % name, *seeding.samples(golden, name + ".grad", logit.grad.numpy()))

    for name in sorted({key.rsplit(".", 1)[0] for key in golden if key.startswith("ohem_")}):
        if name + ".loss" not in golden:
            continue
        _, thresh, kept = name.split("_")
        compare(name, losses.PIDNetOhemLoss(weight=classes_weight, thresh=float(thresh), min_kept=int(kept)), scores, label)
    if "boundary.loss" in golden:
        transform = AddEdgeLabel()
        edge = np.stack([transform({"label": one})["edge"] for one in label])
        if not double:
            recorder.add("forward", "unit.edge", edge, golden["edge"])
        logit = 2 * seeding.seeded("input:pidnet:unit:edge_logit", (len(label), 1) + label.shape[1:], "input", prefix)
        compare("boundary", losses.PIDNetBoundaryLoss(), logit, edge, coef=20.0)


def main():
    def add(parser):
        parser.add_argument("--sizes", default="", help="comma separated, of s, m and l; default: all that the set holds")
        parser.add_argument("--dtypes", default="float32,float64", help="comma separated")

    args = arguments(add)
    held = [size for size in SIZES if os.path.isfile(os.path.join(args.reference, "pidnet_%s.manifest.json" % size))]
    sizes = args.sizes.split(",") if args.sizes else held
    if not set(sizes) <= set(held) or not sizes:
        raise SystemExit("error: %s holds the sizes %s, not %s" % (args.reference, held or "none", sizes))
    recorder = Recorder(args.out)
    for dtype in args.dtypes.split(","):
        for size in sizes:
            case = Case(recorder, size, dtype, args.reference)
            case.run()
        units(recorder, args.reference, case.prefix, dtype)
    recorder.write()


if __name__ == "__main__":
    main()
