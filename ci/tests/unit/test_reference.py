"""Stored runs in either dialect and layout, what is compared with them, and how weights go through a converter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from proving import case, reference, seeding, weights
from proving.record import Recorder

ENTRIES = [{"name": "a.weight", "shape": [2, 3], "kind": "linear"}, {"name": "b.bias", "shape": [3], "kind": "bias"}]
DIALECTS = {
    "entries": {"seed_prefix": "p:", "entries": ENTRIES, "param_order": ["b.bias", "a.weight"]},
    "parameters": {"salt": "p:", "parameters": ENTRIES, "tied": {"c.bias": "b.bias"}, "grad_order": ["b.bias", "a.weight"]},
}
LOGITS = np.arange(24.0).reshape(2, 4, 3).astype(np.float32)


def write(folder: Path, layout: str, dialect: str, arrays: dict[str, np.ndarray], **parts: dict[str, np.ndarray]) -> None:
    """A set called `m` in that layout."""
    flat = layout == "flat"
    (folder / "m").mkdir(exist_ok=True)
    np.savez(folder / ("m.npz" if flat else "m/golden.npz"), **arrays)
    for part, more in parts.items():
        np.savez(folder / (f"m.{part}.npz" if flat else f"m/{part}.npz"), **more)
    for kind, content in (("manifest", DIALECTS[dialect]), ("config", {"width": 3})):
        (folder / (f"m.{kind}.json" if flat else f"m/{kind}.json")).write_text(json.dumps(content))


def sampled(key: str, value: np.ndarray, stride: int) -> dict[str, np.ndarray]:
    flat = value.reshape(-1)[::stride]
    stats = seeding.statistics(value)
    return {key: flat, key + "__shape": np.array(value.shape), key + "__stride": np.array(stride), key + "__stats": stats}


@pytest.fixture(params=[(layout, dialect) for layout in ("flat", "nested") for dialect in DIALECTS], ids="-".join)
def stored(request, tmp_path):
    """A set of one batch of two, with the three marks of float64."""
    layout, dialect = request.param
    arrays = {
        "logits": LOGITS,
        "loss": np.array([2.5], np.float32),
        "loss__f64": np.array([2.5]),
        "norms_fp64": np.array([3.0, 4.0]),
    }
    write(tmp_path, layout, dialect, arrays, extra=sampled("map", LOGITS, 5), float64={"logits": LOGITS.astype(float)})
    return reference.ReferenceSet(str(tmp_path), "m")


def test_a_set_in_either_dialect_and_layout(stored):
    assert (stored.name, stored.config, stored.order) == ("m", {"width": 3}, ["b.bias", "a.weight"])
    assert [entry["name"] for entry in stored.entries] == ["a.weight", "b.bias"]
    np.testing.assert_array_equal(stored.weights()["a.weight"], seeding.seeded("a.weight", (2, 3), "linear", "p:"))
    assert sorted(stored.keys(dtype="float64")) == ["logits", "loss", "norms"]
    assert sorted(stored.keys()) == ["logits", "loss", "map"]
    assert stored.shape("map") == stored.shape("logits") == (2, 4, 3)
    assert stored.holds("norms", "float64") and not stored.holds("norms")


def test_every_source_can_be_read_again(stored):
    for key, value in stored.arrays.items():
        np.testing.assert_array_equal(reference.read_source(stored.directory, *stored.sources[key]), value)
    assert reference.read_source(stored.directory, stored.manifest_file, next(iter(stored.manifest))) == "p:"


def test_sets_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no reference set m.npz or m/golden.npz in .*--reference DIR"):
        reference.ReferenceSet(str(tmp_path), "m")
    write(tmp_path, "flat", "entries", {"a": LOGITS}, extra={"a": LOGITS})
    with pytest.raises(ValueError, match=r"m.npz and m.extra.npz both hold a"):
        reference.ReferenceSet(str(tmp_path), "m")
    (tmp_path / "m.extra.npz").unlink()
    assert reference.ReferenceSet(str(tmp_path), "n", "m").stem == "m"
    write(tmp_path, "nested", "entries", {"a": LOGITS})
    with pytest.raises(ValueError, match=r"holds the set m twice"):
        reference.ReferenceSet(str(tmp_path), "m")
    (tmp_path / "m.npz").unlink()
    assert reference.find_sets(str(tmp_path), "m") == ["m"]
    (tmp_path / "m" / "manifest.json").write_text("{}")
    assert reference.ReferenceSet(str(tmp_path), "m").entries == []
    assert reference.ReferenceSet(str(tmp_path), "m").weights() == {}


def test_both_marks_of_float64_in_one_set(tmp_path):
    write(tmp_path, "flat", "entries", {"a_fp64": np.zeros(2)}, extra={"a__f64": np.ones(2)})
    one = reference.ReferenceSet(str(tmp_path), "m")
    assert one.arrays["a__f64"].tolist() == [1.0, 1.0] and one.sources["a__f64"] == ("m.extra.npz", "a__f64")


def pairs(folder):
    rows = {row["key"]: row for row in json.loads((folder / "pairs.json").read_text())}
    return rows, load_file(str(folder / "pairs.safetensors"))


def again(directory, key, rows, tensors):
    """What the judge reads itself: the stored value, with the elements that the pair says it holds."""
    source = rows[key]["source"]
    value = reference.read_source(directory, source["file"], source["key"]).reshape(-1)
    if not source.get("keep"):
        return value
    keep = tensors["keep/" + key]
    return np.where(keep, value, source["fill"]) if "fill" in source else value[keep]


def test_pairs_say_where_they_come_from(stored, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    recorder = Recorder(str(out))
    one = case.Case(recorder, stored)
    padded = LOGITS.copy()
    padded[1, 3] = 99  # padding, which is not compared
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    assert one.compare("forward", "logits", padded, keep=mask)
    assert one.compare("forward", "map", LOGITS, keep=mask, pair="masked")
    assert one.compare("forward", "map", LOGITS)
    assert one.compare("loss", "loss", np.float32(2.5))
    assert not one.compare("backward", "norms", np.zeros(2)), "only float64 has it"
    double = case.Case(recorder, stored, "float64")
    assert double.compare("forward", "logits", LOGITS.astype(float))
    assert double.vector("backward", "norms", {"a.weight": np.full(16, 1.0), "b.bias": np.array([3.0])}, case.norm)
    with pytest.raises(ValueError, match="leaves nothing"):
        one.compare("forward", "map", LOGITS, keep=np.zeros((2, 4)), pair="none")
    with pytest.raises(ValueError, match=r"shape is \[2, 12\], the reference has \[2, 4, 3\]"):
        one.compare("forward", "logits", LOGITS.reshape(2, 12), pair="other")
    one.close()
    double.close()
    recorder.write()
    rows, tensors = pairs(out)
    assert sorted(rows) == ["m.logits", "m.logits.f64", "m.loss", "m.map", "m.map.statistics", "m.masked", "m.norms.f64"]
    assert json.loads((out / "skipped.json").read_text()) == ["m.norms"]
    for key in sorted(rows):
        np.testing.assert_array_equal(again(stored.directory, key, rows, tensors), tensors["want/" + key].reshape(-1), key)
        np.testing.assert_allclose(tensors["got/" + key], tensors["want/" + key], rtol=1e-15, err_msg=key)
    assert tensors["want/m.logits"].shape == (21,) and tensors["want/m.masked"].shape == (5,)


def test_series_and_ids(tmp_path):
    arrays = {"sgd": np.array([3.0, 2.0, 1.0]), "ids": np.array([[7, 5, 2, 9], [7, 5, 6, 2]])}
    write(tmp_path, "flat", "entries", arrays)
    recorder = Recorder(str(tmp_path))
    one = case.Case(recorder, reference.ReferenceSet(str(tmp_path), "m"))
    assert one.length("sgd") == 3 and one.length("other") == 0
    assert one.series("optimizer", "sgd", [3.0, 2.0, 1.0])
    assert one.series("optimizer", "sgd", [3.0, 2.0], each="sgd.loss.%d", first=1)
    assert one.ids("generation", "ids", [[7, 5, 2, 0], [7, 5, 6, 2]], end=2)
    assert one.ids("generation", "ids", [[5, 2, 9], [5, 6, 2]], start=1, pair="new")
    with pytest.raises(ValueError, match="4 steps were made, the set has 3"):
        one.series("optimizer", "sgd", [3.0, 2.0, 1.0, 0.0])
    recorder.write()
    rows, tensors = pairs(tmp_path)
    assert sorted(rows) == ["m.ids", "m.new", "m.sgd", "m.sgd.loss.1", "m.sgd.loss.2"]
    for key in rows:
        np.testing.assert_array_equal(again(str(tmp_path), key, rows, tensors), tensors["want/" + key].reshape(-1), key)
    assert tensors["want/m.ids"].tolist() == tensors["got/m.ids"].tolist() == [[7, 5, 2, -1], [7, 5, 6, 2]]
    assert tensors["want/m.sgd.loss.2"] == 2.0


def turned(state):
    return {"x." + name: value.T for name, value in state.items()}


def test_a_layout_undoes_any_converter():
    layout = weights.Layout(ENTRIES, turned)
    assert layout.names == {"a.weight": ["x.a.weight"], "b.bias": ["x.b.bias"]}
    value = np.arange(6.0).reshape(2, 3)
    back = layout.back({"x.a.weight": value.T, "x.b.bias": None})
    np.testing.assert_array_equal(back["a.weight"], value)
    assert back["b.bias"] is None


def test_a_layout_of_merged_and_split_tensors():
    """Three tensors in one, with zeros between, and one tensor in two."""
    entries = [{"name": name, "shape": [300, 300], "kind": "linear"} for name in "qv"]

    def convert(state):
        q, v = state["q"], state["v"]
        return {"qkv": np.concatenate([q, np.zeros_like(q), v[:100]]), "rest": v[100:].T}

    layout = weights.Layout(entries, convert)
    assert layout.names == {"q": ["qkv"], "v": ["qkv", "rest"]}
    state = {name: np.random.default_rng(0).random((300, 300)) for name in "qv"}
    back = layout.back(convert(state))
    for name, value in state.items():
        np.testing.assert_array_equal(back[name], value)


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda state: {"x": state["a.weight"]}, "drops b.bias"),
        (lambda state: {"x": state["a.weight"][:1], "y": state["b.bias"]}, "drops a.weight"),
        (
            lambda state: {"x": state["a.weight"], "y": state["a.weight"], "z": state["b.bias"]},
            "a.weight fills more than one place: x, y",
        ),
        (lambda state: {"x": state["a.weight"] * 0.5, "z": state["b.bias"]}, "computes with the elements of x"),
    ],
)
def test_a_wrong_converter_is_named(convert, words):
    with pytest.raises(ValueError, match=words):
        weights.Layout(ENTRIES, convert)


SHAPES = {"a": (2, 3), "b": (3,)}


def test_weights_that_do_not_fit_are_refused_by_name():
    good = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    weights.refuse(good, SHAPES)
    for what, broken, name in weights.faults(good):
        with pytest.raises(ValueError, match=name):
            weights.refuse(broken, SHAPES)
        assert what in ("unknown", "missing", "transposed")
    with pytest.raises(ValueError, match=r"a is \[3, 2\], want \[2, 3\] \(transposed: another framework's layout\?\)"):
        weights.refuse(dict(good, a=np.zeros((3, 2))), SHAPES)
    assert weights.not_refused(lambda state: weights.refuse(state, SHAPES), good) == []


def test_a_loader_that_takes_anything_is_found_out():
    good = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    assert len(weights.not_refused(lambda state: None, good, [("other layout", good, "a")])) == 4

    def silent(state):
        raise KeyError("wrong file")

    assert all("is not named" in line for line in weights.not_refused(silent, good))
