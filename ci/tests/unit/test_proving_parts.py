"""Parts that check scripts share and that need no paddle: TIPC in a sandbox, two sides in turn, real weights, making of sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from proving import making, published, reference, tipc, tree

CI = Path(reference.__file__).parents[1]
CONFIG = "test_tipc/configs/toy/train.txt"
PREPARE = (
    "#!/bin/bash\nwget -nc -P data https://example.invalid/pictures.tar --no-check-certificate && cd data && tar xf pictures.tar\n"
)
TRAIN = """#!/bin/bash
out=test_tipc/output/toy/lite_train_lite_infer
mkdir -p $out
python setup.py install
pip install something
python -c "import toylib, sys; print('[Train] loss: 0.5'); print('[Train] loss: 0.25')" > $out/train.log
device=$(grep ^device: $1 | cut -d: -f2)
echo -e "\\033[33m Run successfully with command - train on $device in $PWD! \\033[0m" > $out/results_python.log
[ -f data/pictures/one.txt ] && echo -e "\\033[33m Run failed with command - export! \\033[0m" >> $out/results_python.log
exit 3
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A work tree with the two scripts of TIPC, and a folder of what downloads bring."""
    root = tmp_path / "work"
    for name, text in {
        "toylib/__init__.py": "",
        CONFIG: "===train===\nmodel_name:toy\npython:python3.7\ndevice:gpu|cpu\n",
        "test_tipc/prepare.sh": PREPARE,
        "test_tipc/test_train_inference_python.sh": TRAIN,
        "setup.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.txt").write_text("x")
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{CI}")
    return tmp_path


def test_tipc_runs_in_a_copy(suite):
    box = tipc.Sandbox(str(suite / "out"), ("toylib", "test_tipc", "setup.py"), CONFIG)
    box.serve("pictures.tar", str(suite / "pictures"))
    box.set_keys({"device": "cpu", "python": "{}"})
    box.substitute("setup.py", "not there", "x", "never said")
    box.run()
    steps = box.steps()
    assert [(line.split(" - ")[1], good) for line, good in steps.items()] == [("train on cpu in .!", True), ("export!", False)]
    assert box.numbers(r"loss: (\S+)") == box.numbers(r"loss: (\S+)", "train.log") == [0.5, 0.25]
    assert box.found(r"loss: (\S+)", "other.log") == []
    assert box.deviations == ["train.txt line 4: device:gpu|cpu -> device:cpu"]
    assert not (suite / "work" / "data").exists(), "the work tree stays as it is"
    box.close()
    assert sorted(path.name for path in (suite / "out").iterdir()) == [
        "prepare.sh.log",
        "results_python.log",
        "test_train_inference_python.sh.log",
    ]


def test_tipc_says_what_is_missing(suite):
    with pytest.raises(SystemExit, match="no deploy in "):
        tipc.Sandbox(str(suite / "out"), ("toylib", "deploy"), CONFIG)
    box = tipc.Sandbox(str(suite / "out"), ("toylib", "test_tipc"), CONFIG)
    with pytest.raises(SystemExit, match="has no line gpu_list"):
        box.set_keys({"gpu_list": "-1"})
    with pytest.raises(SystemExit, match=r"prepare.sh ended with status 8"):
        box.run()  # nothing is served
    with pytest.raises(SystemExit, match="no .*results_python.log"):
        box.steps()


SIDES = """
import argparse, sys, time
import numpy as np
from proving import sides

def build(value):
    def made(args):
        block = np.zeros(args.mb << 17)
        block[:] = 1
        return {"add": lambda: np.array([value + block[0]]), "only " + args.side: lambda: block[:2]}, "version of " + args.side
    return made

BUILDS = {"ours": build(1.0), "theirs": build(1.001)}
parser = argparse.ArgumentParser()
sides.options(parser, tuple(BUILDS), rounds=3, warmup=1)
parser.add_argument("--mb", type=int, default=1)
parser.add_argument("--memory", action="store_true")
args = parser.parse_args()
if not sides.worker(BUILDS, args, {"ours": ["json"], "theirs": ["json"]}):
    pythons = dict.fromkeys(BUILDS, sys.executable)
    if args.memory:
        sides.write(args, "sides.json", sides.memory(args, pythons, ["add"], ["--mb", "60"]))
    else:
        sides.write(args, "sides.json", sides.compare(sides.start(args, pythons), ["add"], [("ours", "theirs")], args))
"""


def run_sides(tmp_path, *words):
    (tmp_path / "bench.py").write_text(SIDES)
    env = {**os.environ, "PYTHONPATH": str(CI)}
    done = subprocess.run(
        [sys.executable, tmp_path / "bench.py", "--out", str(tmp_path), *words], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "sides.json").read_text())


def test_two_sides_take_turns(tmp_path):
    found = run_sides(tmp_path)
    assert found["versions"] == {"ours": "version of ours", "theirs": "version of theirs"}
    assert found["agreement"] == {"add": {"ours": pytest.approx(0.001 / 2.001)}}
    row = found["tasks"]["add"]["ours / theirs"]
    assert sorted(row) == ["cpu", "wall"] and row["wall"]["ours_ms"] > 0 and len(row["wall"]["ratio_median_min_max"]) == 3


def test_memory_by_phases(tmp_path):
    found = run_sides(tmp_path, "--memory")
    for name in ("as it is", "gives back"):
        facts = found[name]["ours"]
        assert set(facts) == {"imports", "loading", "loaded", "add"} and 55 <= facts["loaded"] <= 70 and facts["imports"] > 5


def test_a_side_that_ends_early_is_named(tmp_path):
    from proving import sides

    (tmp_path / "log").write_text("")
    with pytest.raises(SystemExit, match=r"theirs ended early\n  next  read .*theirs.log"):
        sides.Side("theirs", [sys.executable, "-c", "raise SystemExit('no')"], os.environ, str(tmp_path / "theirs.log"))
    assert "no" in (tmp_path / "theirs.log").read_text()


def bfloat16(values):
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()


def write_raw(path, name, dtype, shape, data):
    header = json.dumps({"__metadata__": {"format": "pt"}, name: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)


def test_safetensors_in_one_file_and_in_shards(tmp_path):
    values = {"a": np.arange(6.0).reshape(2, 3).astype(np.float16), "b": np.array(3, np.int64), "c": np.array([True, False])}
    save_file(values, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        found = published.read_safetensors(str(path))
        assert {name: value.dtype for name, value in found.items()} == {name: value.dtype for name, value in values.items()}
        assert all(np.array_equal(found[name], value) and found[name].shape == value.shape for name, value in values.items())
    write_raw(tmp_path / "half.safetensors", "h", "BF16", [2, 2], bfloat16([1.5, -2.0, 0.25, 1e30]))
    index = {"weight_map": {**dict.fromkeys(values, "model.safetensors"), "h": "half.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = published.read_safetensors(str(tmp_path))
    assert sorted(found) == ["a", "b", "c", "h"] and found["h"].dtype == np.float32
    np.testing.assert_allclose(found["h"], [[1.5, -2.0], [0.25, 1e30]], rtol=1e-2)
    index["weight_map"]["lost"] = "half.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="half.safetensors and its index differ in lost"):
        published.read_safetensors(str(tmp_path))


def test_broken_safetensors_are_refused(tmp_path):
    write_raw(tmp_path / "short.safetensors", "x", "F32", [3], b"\0" * 8)
    with pytest.raises(ValueError, match="ends inside of x"):
        published.read_safetensors(str(tmp_path / "short.safetensors"))
    write_raw(tmp_path / "odd.safetensors", "x", "F8_E4M3", [2], b"\0\0")
    with pytest.raises(ValueError, match="x has the type F8_E4M3"):
        published.read_safetensors(str(tmp_path / "odd.safetensors"))
    (tmp_path / "no.safetensors").write_bytes(b"<html>not a file of weights</html>")
    with pytest.raises(ValueError, match="is no safetensors file"):
        published.read_safetensors(str(tmp_path / "no.safetensors"))


def test_a_set_is_written_as_it_is_read(tmp_path):
    single, double = np.arange(30.0).astype(np.float32), np.arange(30.0) + 1e-9
    store: dict[str, np.ndarray] = {}
    making.put(store, "x", single, most=10, statistics=True)
    making.put(store, "x", double, most=10, double=True)
    making.put(store, "y", single[:3])
    manifest = {"salt": "", "parameters": [{"name": "w", "shape": [1, 2], "kind": "linear"}]}
    making.write_set(
        str(tmp_path), "m", store, manifest, precision=making.distance({"x": single}, {"x": double}), more={"z": single}
    )
    one = reference.ReferenceSet(str(tmp_path), "m")
    assert (one.shape("x"), one.shape("y"), len(one.arrays["x"]), sorted(one.keys())) == ((30,), (3,), 10, ["x", "y", "z"])
    assert json.loads((tmp_path / "m.precision.json").read_text())["x"]["max_abs_diff"] == pytest.approx(1e-9, rel=1e-2)


def test_hashes_of_the_provenance(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"1")
    with pytest.raises(FileNotFoundError):
        making.write_hashes(str(tmp_path))
    (tmp_path / "provenance.toml").write_text('[source]\ncommit = "1"\n')
    with pytest.raises(SystemExit, match=r'has no line "\[sha256\]"'):
        making.write_hashes(str(tmp_path))
    (tmp_path / "provenance.toml").write_text('[source]\ncommit = "1"\n\n[sha256]\n"gone" = "0"\n')
    assert making.write_hashes(str(tmp_path)) == (1, 1) and making.write_hashes(str(tmp_path)) == (1, 0)
    assert (tmp_path / "provenance.toml").read_text().startswith('[source]\ncommit = "1"\n\n[sha256]\n"a.npz" = "6b86b273')


def test_programs_of_the_work_tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "forklift_tool.py").write_text("ANSWER = 42\n")
    assert tree.load("tools", "forklift_tool.py").ANSWER == 42
    assert tree.on_path("tools") == sys.path[0] == str(tmp_path / "tools")
    for call in (lambda: tree.on_path("examples"), lambda: tree.load("tools", "none.py")):
        with pytest.raises(SystemExit, match="no .* here"):
            call()


def test_check_scripts_leave_the_path_of_imports_alone():
    """`proving.tree` is the one place; a script's own directory is on the path anyway. Drafts may still be on their way there."""
    for change in sorted(CI.parent.glob("patches/*/*/change.toml")):
        if tomllib.loads(change.read_text())["upstream"]["status"] != "draft":
            scripts = [path for part in ("checks", "reference") for path in (change.parent / part).rglob("*.py")]
            assert [str(path) for path in scripts if "sys.path" in path.read_text()] == [], "take proving.tree.on_path"
