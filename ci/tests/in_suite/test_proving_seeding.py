"""Seeded arrays keep the values that reference sets were made with."""

import json

import numpy as np
import pytest

from proving import seeding

# First values of sets that exist already: they may never change.
KNOWN = [
    ("selftest", (4,), "normal", [0.9052439332008362, -1.0632716417312622, 3.2045047283172607, -1.9407333135604858]),
    ("selftest", (2, 3), "int:0:100", [78, 98, 11, 32, 56, 36]),
]
LABELS = (2048, 1159455)
PICTURE = 12534405


@pytest.mark.parametrize("name, shape, kind, want", KNOWN)
def test_known_values(name, shape, kind, want):
    np.testing.assert_allclose(seeding.seeded(name, shape, kind).reshape(-1), want, rtol=0, atol=1e-6)


def test_kinds_scale_the_same_draws():
    draws = seeding.seeded("x", (4, 3, 2, 2), "input").astype(np.float64)
    for kind, want in [
        ("weight", draws / np.sqrt(12)),
        ("conv", draws / np.sqrt(12)),
        ("bias", 0.02 * draws),
        ("embed", 0.02 * draws),
        ("norm_weight", 1 + 0.1 * draws),
        ("running_mean", 0.1 * draws),
        ("running_var", 1 + 0.1 * np.abs(draws)),
    ]:
        got = seeding.seeded("x", (4, 3, 2, 2), kind)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7, err_msg=kind)


def test_prefix_is_part_of_the_name():
    np.testing.assert_array_equal(seeding.seeded("b", (3,), "input", prefix="a:"), seeding.seeded("a:b", (3,), "input"))
    assert not np.array_equal(seeding.seeded("b", (3,), "input"), seeding.seeded("a:b", (3,), "input"))


@pytest.mark.parametrize("kind", ["const", "wieght", "int:5", "int:9:3"])
def test_bad_kind_is_refused(kind):
    with pytest.raises(ValueError, match="kind"):
        seeding.seeded("x", (2, 2), kind)


def test_pictures_and_labels():
    labels = seeding.seeded_labels("input:pidnet:label", 2, 128, 256)
    assert labels.shape == (2, 128, 256) and labels.dtype == np.uint8
    assert (np.bincount(labels.reshape(-1), minlength=256)[255], int(labels.astype(np.int64).sum())) == LABELS
    picture = seeding.smooth_image("input:pidnet:image:0", 128, 256)
    assert picture.shape == (128, 256, 3) and int(picture.astype(np.int64).sum()) == PICTURE


def test_manifest_of_both_kinds(tmp_path):
    first = {
        "seed_prefix": "p:",
        "entries": [
            {"name": "a.weight", "shape": [2, 3], "kind": "weight", "layer": "Linear"},
            {"name": "b.weight", "shape": [2, 3], "kind": "weight", "seed_name": "a.weight"},
            {"name": "index", "shape": [4], "kind": "const"},
            {"name": "count", "shape": [], "kind": "counter"},
        ],
    }
    values = dict(seeding.parameters(first))
    assert list(values) == ["a.weight", "b.weight", "count"]
    np.testing.assert_array_equal(values["a.weight"], seeding.seeded("p:a.weight", (2, 3), "weight"))
    np.testing.assert_array_equal(values["b.weight"], values["a.weight"])
    second = {"salt": "", "parameters": [{"name": "e", "shape": [5, 2], "kind": "embedding"}], "tied": {"head": "e"}}
    values = dict(seeding.parameters(second))
    np.testing.assert_array_equal(values["head"], values["e"])
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"model": "x"}))
    with pytest.raises(ValueError, match="entries"):
        seeding.read_manifest(str(path))
    with pytest.raises(FileNotFoundError, match="--reference"):
        seeding.read_manifest(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    "manifest, error",
    [({"entries": [{"name": "a", "kind": "bias"}]}, "lacks shape"), ({"parameters": [], "tied": {"a": "b"}}, "ties a to b")],
)
def test_broken_manifest(manifest, error):
    with pytest.raises(ValueError, match=error):
        list(seeding.parameters(manifest))


def test_paddle_layout_turns_linear_weights_only():
    value = np.arange(6, dtype=np.float32).reshape(2, 3)
    for entry, turned in [
        ({"name": "a.weight", "kind": "weight", "layer": "Linear"}, True),
        ({"name": "a.weight", "kind": "linear"}, True),
        ({"name": "m.in_proj_weight", "kind": "weight", "layer": "MultiheadAttention"}, True),
        ({"name": "table.weight", "kind": "embed", "layer": "Embedding"}, False),
    ]:
        assert seeding.paddle_layout(entry, value).shape == ((3, 2) if turned else (2, 3)), entry


def test_samples_full_and_subsampled():
    full = np.random.RandomState(0).rand(4, 5).astype(np.float32)
    golden = {
        "x": full,
        "big": full.reshape(-1)[::3],
        "big__shape": np.array([4, 5]),
        "big__stride": np.array(3),
        "big__stats": seeding.statistics(full),
    }
    for key in ("x", "big"):
        got, want = seeding.samples(golden, key, full)
        np.testing.assert_array_equal(got, want)
    wrong = full.copy()
    wrong[0, 1] += 1  # not among the samples: only the statistics can see it
    np.testing.assert_array_equal(*seeding.samples(golden, "big", wrong))
    got, want = seeding.stored_statistics(golden, "big", wrong)
    assert np.abs(got - want).max() > 1e-3
    with pytest.raises(ValueError, match="shape"):
        seeding.samples(golden, "big", full.T)
    with pytest.raises(KeyError, match="nothing"):
        seeding.samples(golden, "nothing", full)
