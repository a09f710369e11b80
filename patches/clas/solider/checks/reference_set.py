"""A stored run of the reference, and our model with its weights. The weights go through the converter that the change ships."""

import glob
import json
import os
import re

import numpy as np
import paddle
from ppcls.arch import backbone
from ppcls.utils import convert_solider

from proving import seeding

SIZES = ("tiny", "small", "base")
# What undoes convert_solider.LAYOUTS, for gradients.
UNDO = {"same": lambda x: x, "linear": lambda x: x.T}


def find(directory, sizes=SIZES):
    """All sets of these sizes in the directory."""
    pattern = os.path.join(directory, "solider_swin_*.manifest.json")
    sets = [ReferenceSet(path) for path in sorted(glob.glob(pattern))]
    sets = [one for one in sets if one.size in sizes]
    if not sets:
        raise SystemExit("no set of %s in %s: pass --reference DIR with solider_swin_*.manifest.json" % (list(sizes), directory))
    return sets


class ReferenceSet:
    """One manifest with its tensors.

    name: "tiny", "tiny_odd", ...; size: "tiny", "small" or "base".
    golden: float32 outputs and one training run; float64: outputs in float64; training: the training runs at the other image
    sizes and semantic weights. The last two are empty if the set has none.
    precision: for each output how far float32 is from float64 inside the reference.
    """

    def __init__(self, manifest_path):
        stem = manifest_path[: -len(".manifest.json")]
        self.name = os.path.basename(stem)[len("solider_swin_") :]
        self.manifest = seeding.read_manifest(manifest_path)
        self.size = re.fullmatch(r"swin_(\w+)_patch4_window7_224", self.manifest["model"]).group(1)
        self.arch = "SwinTransformer_%s_patch4_window7_224_SOLIDER" % self.size
        self.golden = dict(np.load(stem + ".npz"))
        more = [os.path.join(os.path.dirname(stem), "%s_%s.npz" % (kind, self.name)) for kind in ("float64", "training")]
        self.float64, self.training = (dict(np.load(path)) if os.path.isfile(path) else {} for path in more)
        with open(stem + ".precision.json") as stream:
            self.precision = json.load(stream)
        self._state = None
        self._models = {}
        self._arrays = {}

    def array(self, name, shape):
        """A seeded input, target or probe, float32."""
        key = (name, tuple(shape))
        if key not in self._arrays:
            self._arrays[key] = seeding.seeded(name, shape, "input", seeding.seed_prefix(self.manifest))
        return self._arrays[key]

    def image(self, size):
        """The input of that size, (1, 3, H, W)."""
        return self.array("input:solider:x:%dx%d" % tuple(size), (1, 3) + tuple(size))

    def image_sizes(self):
        return [tuple(entry["shape"][2:]) for entry in self.manifest["inputs"]]

    def size_of(self, key):
        """The image size of an output that is stored under `key`, by the shape of its first map."""
        height, width = self.golden[key + ".out0__shape"][2:]
        return next(s for s in self.image_sizes() if (-(-s[0] // 4), -(-s[1] // 4)) == (height, width))

    def checkpoint(self):
        """The state dict as the reference would save it."""
        index = self.golden["buffer.relative_position_index"]
        state = {entry["name"]: index for entry in seeding.entries(self.manifest) if entry["kind"] == "const"}
        state.update(seeding.parameters(self.manifest))
        return {"teacher": {"backbone." + name: value for name, value in state.items()}}

    def model(self, image_size, dtype="float32", semantic=True):
        """Our model in eval mode with the weights of the set. It gives the global feature and the stages."""
        key = (image_size, dtype, semantic)
        if key not in self._models:
            self._models[key] = getattr(backbone, self.arch)(
                img_size=image_size, class_num=0, return_stages=True, semantic_weight=0.0 if semantic else None
            )
            if dtype != "float32":
                _cast(self._models[key], dtype)
        model = self._models[key]
        if self._state is None:
            target = {name: value.numpy() for name, value in model.state_dict().items()}
            state, _ = convert_solider.select_backbone(self.checkpoint())
            self._state = convert_solider.convert(state, target)
        for name, value in model.state_dict().items():
            value.set_value(self._state[name].astype(value.numpy().dtype))
        model.eval()
        return model

    def forget(self):
        """Free the models and the arrays."""
        self._models, self._arrays, self._state = {}, {}, None


def _cast(model, dtype):
    model.to(dtype=dtype)
    for layer in model.sublayers():  # `to` takes the indices along
        if "relative_position_index" in layer._buffers:
            layer._buffers["relative_position_index"] = layer._buffers["relative_position_index"].astype("int64")


def outputs(result):
    """{name in the reference: array} of what the model returns."""
    found = {"global": result["logits"].numpy()}
    found.update({"out%d" % i: stage.numpy() for i, stage in enumerate(result["stages"])})
    return found


def forward_keys(one):
    """(image size, semantic weight, stem of the keys) for every plain forward run of the set."""
    for size in one.image_sizes():
        for weight in one.manifest["semantic_weights"]:
            yield size, weight, "sw%s.%dx%d" % (weight, size[0], size[1])


def run_forward(one, dtype="float32"):
    """Yields (key, array) for every output of the set: each size and semantic weight, weights by image, no semantic layers."""
    with paddle.no_grad():
        for size in one.image_sizes():
            model = one.model(size, dtype)
            x = paddle.to_tensor(one.image(size).astype(dtype))
            for other, weight, stem in forward_keys(one):
                if other == size:
                    features = {}
                    hooks = _watch(model, features)
                    result = outputs(model(x, weight))
                    for hook in hooks:
                        hook.remove()
                    for name, value in list(result.items()) + list(features.items()):
                        if "%s.%s" % (stem, name) in one.golden:
                            yield "%s.%s" % (stem, name), value
        for stem, semantic in (("explicit", True), ("nosem", False)):
            if stem + ".global" not in one.golden:
                continue
            size = one.size_of(stem)
            model = one.model(size, dtype, semantic)
            x = paddle.to_tensor(one.array("input:solider:x:explicit", (2, 3) + size).astype(dtype))
            weights = paddle.to_tensor(np.array([0.1, 0.7], dtype)) if semantic else None
            for name, value in outputs(model(x, weights)).items():
                yield "%s.%s" % (stem, name), value


def _watch(model, features):
    """Keep the patch embedding and the input of the next stage, by their names in the reference."""

    def keep(name):
        def hook(layer, inputs, result):
            features[name] = (result[0] if isinstance(result, tuple) else result).numpy()

        return hook

    hooks = [model.patch_embed.register_forward_post_hook(keep("feat.patch_embed"))]
    return hooks + [layer.register_forward_post_hook(keep("feat.stages.%d" % i)) for i, layer in enumerate(model.layers)]
