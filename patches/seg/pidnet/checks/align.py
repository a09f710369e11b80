"""Alignment of PIDNet with the reference: forward, every loss term, gradients, running statistics and SGD steps.

The reference set holds what XuJiacong/PIDNet computed on weights that are rebuilt here from the parameter names alone. Each
size is run in float32 and again in float64; keys of the float64 run end in `.f64` and are compared with the float64 run of the
reference. Updates are compared in float64 alone: what float32 rounds in one step, the next ones amplify in the reference itself.

Two definitions differ between the frameworks and are brought together here, not tolerated:
- Paddle updates the running variance with the biased variance of the batch, PyTorch with the unbiased one. The update of each
  layer is scaled by n / (n - 1) before it is compared, n being the number of values a channel had.
- The reference fails when no pixel is sure to be a boundary (`eval.loss_index_error`); the loss here is zero then. That zero is
  recorded against zero.
"""

import numpy as np
import paddle
from paddleseg.models import PIDNet, losses
from paddleseg.models.backbones import PIDNetBackbone
from paddleseg.transforms import AddEdgeLabel, Compose, Normalize

from proving import case, seeding, tree
from proving.record import Recorder, arguments
from proving.reference import ReferenceSet, find_sets, is_there
from proving.weights import Layout, assign

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


# The converter that the change ships: its name table is what pairs the parameters.
convert_pidnet = tree.load("tools", "convert_pidnet.py")


def network(ctor, channels):
    """PIDNet of the size that the manifest describes."""
    backbone = PIDNetBackbone(
        in_channels=channels,
        base_channels=ctor["planes"],
        block_layers=[ctor["m"], ctor["n"]],
        context_channels=ctor["ppm_planes"],
        lightweight=ctor["m"] == 2,
    )
    return PIDNet(ctor["num_classes"], backbone, head_channels=ctor["head_planes"], align_corners=True)


def criteria(weight):
    """The four losses with their weights, as PIDNet.loss_computation takes them."""
    ohem = {"weight": weight, "thresh": THRESH, "min_kept": MIN_KEPT, "ignore_index": IGNORE}
    types = [
        losses.PIDNetOhemLoss(**ohem),
        losses.PIDNetAuxLoss(weight=weight, ignore_index=IGNORE),
        losses.PIDNetBoundaryLoss(ignore_index=IGNORE),
        losses.PIDNetBoundaryAwareLoss(boundary_thresh=0.8, **ohem),
    ]
    return {"types": types, "coef": list(COEF)}


class Case(case.Case):
    """One size in one precision."""

    def __init__(self, recorder, reference, dtype):
        super().__init__(recorder, reference, dtype, reference.name[len("pidnet_") :])
        spec = reference.inputs[0]
        count, channels, height, width = spec["shape"]
        self.image = reference.seeded(spec["name"], spec["shape"], spec["kind"])
        self.label = seeding.seeded_labels(
            "input:pidnet:label",
            count,
            height,
            width,
            num_classes=reference.manifest["ctor"]["num_classes"],
            ignore=IGNORE,
            prefix=seeding.seed_prefix(reference.manifest),
        )
        paddle.set_default_dtype(dtype)
        self.model = network(reference.manifest["ctor"], channels)
        self.losses = criteria(reference.manifest["class_weights"])
        expected = {name: value.shape for name, value in self.model.state_dict().items()}

        def convert(state):
            return convert_pidnet.convert(convert_pidnet.strip_checkpoint(state), expected)

        self.weights = convert(reference.weights())
        if not hasattr(reference, "layout"):  # the same in both precisions
            reference.layout = Layout(reference.entries, convert)
        self.layout = reference.layout
        self.reset()

    # --- running the model

    def reset(self):
        assign(self.model, self.weights)
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

    # --- the stages

    def edges(self):
        """The edge labels and the normalized image, through the transforms of the suite."""
        height, width = self.label.shape[1:]
        pipeline = Compose([AddEdgeLabel(), Normalize(mean=MEAN, std=STD)])
        samples = []
        for index, label in enumerate(self.label):
            prefix = seeding.seed_prefix(self.reference.manifest)
            picture = seeding.smooth_image("input:pidnet:image:%d" % index, height, width, prefix)
            samples.append(pipeline({"img": picture.astype("float32"), "label": label, "gt_fields": ["label"]}))
        edges = np.stack([sample["edge"] for sample in samples])
        if not self.double:
            for key, value in (("gen_sample.image0", samples[0]["img"]), ("label", self.label), ("edge", edges)):
                self.compare("forward", key, value)
        return paddle.to_tensor(edges)

    def forward(self, name, training, edge):
        """One forward pass with the features compared: its loss terms, its outputs, values a channel of each normalization."""
        self.reset()
        self.mode(training)
        kept, counts, hooks = {}, {}, []

        def keep(key):
            return lambda layer, inputs, output: kept.update({key: output})

        def count(key):
            return lambda layer, inputs: counts.update({key: inputs[0].size // inputs[0].shape[1]})

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
            self.compare("forward", "%s.%s" % (name, key), value)
        return terms, outputs, counts

    def loss_terms(self, name, terms, outputs):
        main, auxiliary, boundary, aware = [float(term) for term in terms]
        total = main + auxiliary + boundary + aware
        label = self.losses["types"][3].boundary_label(outputs[2], paddle.to_tensor(self.label.astype("int64"))).numpy()
        for key, value in (
            ("ohem_main", main),
            ("ce_extra_p_mean_over_all_pixels", auxiliary / COEF[1]),
            ("loss_s_mean", main + auxiliary),
            ("loss_b", boundary),
            ("loss_sb", aware),
            ("loss_total", total),
            ("loss", total),
            ("bas_label", label[:, 0].astype("uint8")),
            ("n_bas_pixels", (label != IGNORE).sum()),
        ):
            self.compare("loss", "%s.%s" % (name, key), value)
        error = name + ".loss_index_error"
        if error in self.reference.arrays and self.reference.arrays[error].any():
            self.made("loss", name + ".loss_of_no_boundary", aware, 0.0)

    def gradients(self, name):
        found = self.layout.back(case.gradients(self.model))
        self.vector("backward", name + ".grad_l2", found, case.norm)
        self.vector("backward", name + ".grad_probe_dot", found, self.probe)
        if not self.double:
            exists = [found[there] is not None for there in self.reference.order]
            self.compare("backward", name + ".grad_exists", np.array(exists, "uint8"))

    def buffers(self, name, counts):
        state = {key: value.numpy().astype(np.float64) for key, value in self.model.state_dict().items()}
        for key in state:
            layer, leaf = key.rsplit(".", 1)
            if leaf == "_variance":
                n, kept = counts[layer], 0.9 * self.weights[key].astype(np.float64)
                state[key] = kept + (state[key] - kept) * n / (n - 1)
        found = self.layout.back(state)
        order = self.reference.manifest["buffer_order"]
        self.compare("forward", name + ".buffer_l2", np.array([case.norm(there, found[there]) for there in order]))
        if not self.double:
            for there in order:
                if self.reference.holds("%s.%s" % (name, there)):
                    self.compare("forward", "%s.%s" % (name, there), found[there])

    def sgd_bneval(self, edge):
        """Five steps of plain SGD in eval mode, without the boundary-aware term: well conditioned, so compared in full.

        In float32 the first step's gradients alone: float64 judges the updates.
        """
        steps = self.length("sgd_bneval.loss_seq") if self.double else 1
        if not steps:
            return
        self.reset()
        self.mode(False)
        pieces = []

        def loss():
            terms = self.terms(edge)[0][:3]
            main, auxiliary, boundary = [float(term) for term in terms]
            pieces.append([main + auxiliary, boundary, 0.0])
            return sum(terms)

        case.descend(self.model, loss, 0.01, steps, first=lambda: self.gradients("bneval"), finish=True)
        if not self.double:
            return
        totals = [sum(piece) for piece in pieces]
        self.series("optimizer", "sgd_bneval.loss_seq", totals, each="sgd_bneval.loss.%d", first=1)
        self.compare("optimizer", "sgd_bneval.loss_pieces", np.array(pieces))
        values = self.layout.back({key: value.numpy() for key, value in self.model.state_dict().items()})
        self.vector("optimizer", "sgd_bneval.param_l2", values, case.norm)
        self.vector("optimizer", "sgd_bneval.param_probe_dot", values, self.probe)

    def sgd_bntrain(self, name, rate, steps, start, edge):
        """The losses of the first `steps` steps of plain SGD in train mode. Later ones are chaotic in the reference itself.

        `start`, the first step's loss and gradients, is the training pass that was made already.
        """
        steps = min(steps, self.length(name + ".loss_seq"))
        if steps:
            self.reset()
            self.mode(True)
            losses = case.descend(self.model, lambda: sum(self.terms(edge)[0]), rate, steps, start=start)
            self.series("optimizer", name + ".loss_seq", losses, each=name + ".loss.%d", first=1)

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
        gradients = {name: value.grad.clone() for name, value in self.model.named_parameters() if value.grad is not None}
        self.sgd_bneval(edge)
        if self.double:
            self.sgd_bntrain("sgd", 0.01, 2, (total, gradients), edge)
            self.sgd_bntrain("sgd_lr1e-5", 1e-5, 3, (total, gradients), edge)
        self.close()


class Units(case.Case):
    """The losses alone, on stored labels and seeded scores."""

    def __init__(self, recorder, reference, sizes, dtype):
        super().__init__(recorder, reference, dtype, "unit")
        self.weight, self.prefix = sizes[-1].manifest["class_weights"], seeding.seed_prefix(sizes[-1].manifest)
        paddle.set_default_dtype(dtype)

    def seeded(self, name, factor, channels):
        count, height, width = self.reference.arrays["label"].shape
        return factor * seeding.seeded(name, (count, channels, height, width), "input", self.prefix)

    def unit(self, name, criterion, logit, target, coef=1.0):
        logit = paddle.to_tensor(logit.astype(self.dtype), stop_gradient=False)
        loss = coef * criterion(logit, paddle.to_tensor(target.astype("int64")))
        loss.backward()
        self.compare("loss", name + ".loss", loss)
        if not self.double:
            self.compare("backward", name + ".grad", logit.grad)

    def run(self):
        label = self.reference.arrays["label"]
        scores = self.seeded("input:pidnet:unit:score", 3, len(self.weight))
        for name in sorted({key.rsplit(".", 1)[0] for key in self.reference.keys("ohem_") if key.endswith(".loss")}):
            _, thresh, kept = name.split("_")
            self.unit(name, losses.PIDNetOhemLoss(weight=self.weight, thresh=float(thresh), min_kept=int(kept)), scores, label)
        transform = AddEdgeLabel()
        edge = np.stack([transform({"label": one})["edge"] for one in label])
        if not self.double:
            self.compare("forward", "edge", edge)
        if self.holds("boundary.loss"):
            logit = self.seeded("input:pidnet:unit:edge_logit", 2, 1)
            self.unit("boundary", losses.PIDNetBoundaryLoss(), logit, edge, coef=20.0)
        self.close()


def main():
    def add(parser):
        parser.add_argument("--sizes", default="", help="comma separated, of s, m and l; default: all that the directory holds")
        parser.add_argument("--dtypes", default="float32,float64", help="comma separated")

    args = arguments(add)
    held = [name for name in find_sets(args.reference, "pidnet_") if name not in ("pidnet_loss_units", "pidnet_sgd_small_lr")]
    names = ["pidnet_" + size for size in args.sizes.split(",")] if args.sizes else held
    if not set(names) <= set(held) or not names:
        raise SystemExit("error: %s holds %s, not %s" % (args.reference, held or "no pidnet_<size>", names))
    recorder = Recorder(args.out)
    sets = [ReferenceSet(args.reference, name) for name in names]
    for one in sets:
        one.include("pidnet_sgd_small_lr.npz", one.name[len("pidnet_") :] + ".")
    units = ReferenceSet(args.reference, "pidnet_loss_units") if is_there(args.reference, "pidnet_loss_units") else None
    for dtype in args.dtypes.split(","):
        for one in sets:
            Case(recorder, one, dtype).run()
        if units:
            Units(recorder, units, sets, dtype).run()
    recorder.write()


if __name__ == "__main__":
    main()
