"""A stored run of the reference, and our model with its weights. The weights go through the converter that the change ships."""

import json
import os
import re

import numpy as np
import paddle
from ppcls.arch import backbone
from ppcls.utils import convert_solider

from proving.reference import ReferenceSet, find_sets
from proving.training import cast
from proving.weights import Layout, assign

SIZES = ("tiny", "small", "base")
PREFIX = "solider_swin_"
RUN = re.compile(r"sw([\d.]+)\.(\d+)x(\d+)")


def find(directory, sizes=SIZES):
    """All sets of these sizes in the directory."""
    sets = [Solider(directory, name) for name in find_sets(directory, PREFIX)]
    sets = [one for one in sets if one.size in sizes]
    if not sets:
        raise SystemExit("no set of %s in %s: pass --reference DIR with %s*.manifest.json" % (list(sizes), directory, PREFIX))
    return sets


class Solider(ReferenceSet):
    """A set of one size, and our models for it.

    short: "tiny", "tiny_odd", ...; size: "tiny", "small" or "base". precision: for each output how far float32 is from float64 inside
    the reference, empty where the set does not say.
    """

    def __init__(self, directory, name):
        super().__init__(directory, name)
        self.short = name[len(PREFIX) :]
        self.size = re.fullmatch(r"swin_(\w+)_patch4_window7_224", self.manifest["model"]).group(1)
        self.arch = "SwinTransformer_%s_patch4_window7_224_SOLIDER" % self.size
        places = (os.path.join(directory, name + ".precision.json"), os.path.join(directory, name, "precision.json"))
        self.precision = {}
        for path in filter(os.path.isfile, places):
            with open(path) as stream:
                self.precision = json.load(stream)
        self.forget()

    def image(self, size):
        """The input of that size, (N, 3, H, W), with as many images as the set's run had."""
        shapes = [entry["shape"] for entry in self.inputs if tuple(entry["shape"][2:]) == tuple(size)]
        count = shapes[0][0] if shapes else self.inputs[0]["shape"][0]
        return self.seeded("input:solider:x:%dx%d" % tuple(size), (count, 3) + tuple(size))

    def runs(self, end=".global"):
        """(image size, semantic weight, stem of the keys) of every run of which the set holds a key with that end."""
        for key in self.keys("sw"):
            found = RUN.match(key)
            if found and key == found.group(0) + end:
                weight, height, width = found.groups()
                yield (int(height), int(width)), float(weight), found.group(0)

    def size_of(self, key):
        """The image size of an output that is stored under `key`, by the shape of its first map."""
        sizes = [tuple(entry["shape"][2:]) for entry in self.inputs]
        return next(s for s in sizes if (-(-s[0] // 4), -(-s[1] // 4)) == self.shape(key + ".out0")[2:])

    def convert(self, state):
        """Tensors of the reference to ours, as a training checkpoint would bring them."""
        index = self.arrays["buffer.relative_position_index"]
        state = {**{entry["name"]: index for entry in self.entries if entry["kind"] == "const"}, **state}
        checkpoint = {"teacher": {"backbone." + name: value for name, value in state.items()}}
        return convert_solider.convert(convert_solider.select_backbone(checkpoint)[0], self._target)

    def model(self, image_size, dtype="float32", semantic=True):
        """Our model in eval mode with the weights of the set. It gives the global feature and the stages."""
        key = (image_size, dtype, semantic)
        if key not in self._models:
            self._models[key] = getattr(backbone, self.arch)(
                img_size=image_size, class_num=0, return_stages=True, semantic_weight=0.0 if semantic else None
            )
            if dtype != "float32":
                cast(self._models[key], dtype)
        model = self._models[key]
        if self._state is None:
            self._target = {name: value.numpy() for name, value in model.state_dict().items()}
            self._state = self.convert(self.weights())
        own = model.state_dict()
        assign(model, {name: self._state[name] for name in own} if not semantic else self._state)
        model.eval()
        return model

    @property
    def layout(self):
        """Where the elements of the reference's tensors stand in ours; after a model was made."""
        if self._layout is None:
            self._layout = Layout(self.entries, self.convert)
        return self._layout

    def forget(self):
        """Free the models and what belongs to them."""
        self._models, self._state, self._target, self._layout = {}, None, None, None


def outputs(result):
    """{name in the reference: array} of what the model returns."""
    found = {"global": result["logits"].numpy()}
    found.update({"out%d" % i: stage.numpy() for i, stage in enumerate(result["stages"])})
    return found


def run_forward(one, dtype="float32"):
    """Yields (key, array) for every output of the set: each size and semantic weight, weights by image, no semantic layers."""
    with paddle.no_grad():
        for size, weight, stem in one.runs():
            model, features = one.model(size, dtype), {}
            hooks = _watch(model, features)
            result = outputs(model(paddle.to_tensor(one.image(size).astype(dtype)), weight))
            for hook in hooks:
                hook.remove()
            for name, value in {**result, **features}.items():
                if one.holds("%s.%s" % (stem, name)):
                    yield "%s.%s" % (stem, name), value
        for stem, semantic in (("explicit", True), ("nosem", False)):
            if not one.holds(stem + ".global"):
                continue
            size, count = one.size_of(stem), one.shape(stem + ".global")[0]
            weights = np.array(one.manifest.get("explicit_weights", [0.1, 0.7]), dtype)
            if semantic and len(weights) != count:
                raise SystemExit(
                    "%s: %d images, but %d weights; name them as explicit_weights in its manifest" % (one.name, count, len(weights))
                )
            x = paddle.to_tensor(one.seeded("input:solider:x:explicit", (count, 3) + size).astype(dtype))
            result = one.model(size, dtype, semantic)(x, paddle.to_tensor(weights) if semantic else None)
            for name, value in outputs(result).items():
                yield "%s.%s" % (stem, name), value


def _watch(model, features):
    """Keep the patch embedding and the input of the next stage, by their names in the reference."""

    def keep(name):
        def hook(layer, inputs, result):
            features[name] = (result[0] if isinstance(result, tuple) else result).numpy()

        return hook

    hooks = [model.patch_embed.register_forward_post_hook(keep("feat.patch_embed"))]
    return hooks + [layer.register_forward_post_hook(keep("feat.stages.%d" % i)) for i, layer in enumerate(model.layers)]
