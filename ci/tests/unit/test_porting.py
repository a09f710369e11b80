"""Helpers of model ports: names through a converter, padding, stored sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from proving import porting

MANIFEST = {
    "salt": "",
    "parameters": [{"name": "a.weight", "shape": [2, 3], "kind": "linear"}, {"name": "b.bias", "shape": [3], "kind": "bias"}],
}


def rename(state):
    return {"x." + name: value.T for name, value in state.items()}


def test_names_go_through_the_converter():
    assert porting.own_names(MANIFEST, rename) == {"a.weight": "x.a.weight", "b.bias": "x.b.bias"}


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda state: {"x": state["a.weight"]}, "drops b.bias"),
        (lambda state: {"x": state["a.weight"], "y": state["a.weight"]}, "fills both x and y"),
        (lambda state: {"x": np.concatenate([state["a.weight"].ravel(), state["b.bias"]])}, "several tensors"),
    ],
)
def test_a_wrong_converter_is_named(convert, words):
    with pytest.raises(ValueError, match=words):
        porting.own_names(MANIFEST, convert)


def test_padding_is_not_compared():
    want = np.arange(12.0).reshape(2, 3, 2)
    got = want.copy()
    got[1, 2] = 99
    keep = np.array([[1, 1, 1], [1, 1, 0]])
    ours, theirs = porting.pair({"k": want}, "k", got, keep)
    assert ours.shape == (10,)
    np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(*porting.pair({"k": want}, "k", got))


def test_padding_of_a_stored_sample():
    want = np.arange(12.0).reshape(2, 3, 2)
    stored = {"k": want.reshape(-1)[::5], "k__shape": np.array(want.shape), "k__stride": np.array(5)}
    got = want.copy()
    got[1, 2] = 99
    ours, theirs = porting.pair(stored, "k", got, np.array([[1, 1, 1], [1, 1, 0]]))
    assert ours.tolist() == theirs.tolist() == [0.0, 5.0]
    with pytest.raises(ValueError, match="leaves nothing"):
        porting.pair(stored, "k", got, np.zeros((2, 3)))


def test_ids_after_the_end():
    ids = np.array([[5, 2, 2, 7], [5, 6, 7, 8]])
    assert porting.after_end(ids, 2).tolist() == [[5, 2, -1, -1], [5, 6, 7, 8]]


def test_sets(tmp_path: Path):
    np.savez(tmp_path / "m.npz", a=np.zeros(2))
    np.savez(tmp_path / "m.extra.npz", b=np.ones(2))
    (tmp_path / "m.config.json").write_text(json.dumps({"c": 1}))
    (tmp_path / "m.manifest.json").write_text(json.dumps(MANIFEST))
    config, manifest, arrays = porting.read_set(str(tmp_path), "m")
    assert (config, sorted(arrays), len(manifest["parameters"])) == ({"c": 1}, ["a", "b"], 2)
    np.savez(tmp_path / "m.extra.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="both hold a"):
        porting.read_set(str(tmp_path), "m")
    with pytest.raises(FileNotFoundError, match=r"--reference DIR"):
        porting.read_set(str(tmp_path), "n")
