"""What check scripts write is complete and unambiguous."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from proving import record, timing


def test_pairs_round_trip(tmp_path):
    recorder = record.Recorder(str(tmp_path))
    recorder.add("forward", "out", np.arange(6.0).reshape(2, 3).T, np.ones((3, 2), np.float32))
    recorder.add("loss", "loss", np.float32(2.5), 2.5)
    recorder.add("forward", "same", np.array([True]), np.array([1]))
    recorder.write()
    tensors = load_file(str(tmp_path / "pairs.safetensors"))
    assert sorted(tensors) == ["got/loss", "got/out", "got/same", "want/loss", "want/out", "want/same"]
    np.testing.assert_array_equal(tensors["got/out"], np.arange(6.0).reshape(2, 3).T)
    assert tensors["got/loss"].shape == () and tensors["got/loss"].dtype == np.float32
    assert json.loads((tmp_path / "pairs.json").read_text()) == [
        {"stage": "forward", "key": "out"},
        {"stage": "loss", "key": "loss"},
        {"stage": "forward", "key": "same"},
    ]
    assert not list(tmp_path.glob("*.part"))


def test_duplicate_key_is_refused(tmp_path):
    recorder = record.Recorder(str(tmp_path))
    recorder.add("forward", "out", 1.0, 1.0)
    with pytest.raises(ValueError, match="twice"):
        recorder.add("backward", "out", 2.0, 2.0)


def test_nothing_recorded_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing"):
        record.Recorder(str(tmp_path)).write()


def test_text_is_not_a_measurement(tmp_path):
    with pytest.raises(TypeError, match="dtype"):
        record.Recorder(str(tmp_path)).add("forward", "out", "1.0", 1.0)


def test_arguments(tmp_path):
    args = record.arguments(lambda p: p.add_argument("--size", type=int), argv=["--out", str(tmp_path / "new"), "--size", "3"])
    assert args.size == 3 and args.reference is None and (tmp_path / "new").is_dir()
    with pytest.raises(SystemExit):
        record.arguments(argv=["--out", str(tmp_path), "--reference", str(tmp_path / "missing")])


def test_metrics(tmp_path):
    (tmp_path / "curve.png").write_bytes(b"picture")
    record.write_metrics(str(tmp_path), {"miou": np.float32(0.5)}, {"loss": np.arange(3)}, ["curve.png"])
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "metrics": {"miou": 0.5},
        "curves": {"loss": [0.0, 1.0, 2.0]},
        "pictures": ["curve.png"],
    }
    with pytest.raises(FileNotFoundError, match="other.png"):
        record.write_metrics(str(tmp_path), {}, pictures=["other.png"])


def test_interleave_turns_the_order():
    calls = []
    samples = timing.interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warmup=1)
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in samples.items()} == {"a": 3, "b": 3}
    assert min(samples["a"] + samples["b"]) >= 0


def test_interleave_asks_the_given_clock():
    samples = timing.interleave({"a": int}, rounds=2, warmup=1, clock=iter([1.0, 1.5, 2.0, 4.0]).__next__)
    assert samples == {"a": [500.0, 2000.0]}


def test_benchmark_row_must_be_whole(tmp_path):
    with pytest.raises(ValueError, match="theirs"):
        timing.write_benchmark(str(tmp_path), [{"name": "x", "ours": "o", "against": "theirs", "samples": {"o": [1.0]}}])
    timing.write_benchmark(str(tmp_path), [{"name": "x", "ours": "o", "against": "t", "samples": {"o": [1.0], "t": [2.0]}}])
    assert json.loads((tmp_path / "benchmark.json").read_text())[0]["against"] == "t"
