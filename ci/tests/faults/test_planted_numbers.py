"""Faults planted in a port or in its training: the checks must be red, and say where. The same run without a fault is green."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from toyproject import HEADER, put

# a layer with a square weight (a transpose keeps its shape), and enough outputs for one among 4000
SIDE, ROWS = 40, 100

PORT = HEADER + (
    "import numpy as np\n\n\ndef forward(weight, bias, x):\n    return x @ weight + bias\n\n\n"
    "def backward(weight, bias, x, grad):\n    return x.T @ grad, grad.sum(0), grad @ weight.T\n"
)

OWN = [{"match": "*", "why": "the toy has no original: numpy computes what is wanted"}]
CHECK = """
import os
import numpy as np
from safetensors.numpy import load_file
from proving.record import Recorder, arguments
from toylib.linear import backward, forward


args = arguments()
want = load_file(os.path.join(args.reference, "set.safetensors"))
layer = want["weight"], want["bias"], want["x"]
recorder = Recorder(args.out)
recorder.add("forward", "out", forward(*layer), want["out"])
for name, got in zip(("grad_weight", "grad_bias", "grad_x"), backward(*layer, want["grad"])):
    recorder.add("backward", name, got, want[name])
recorder.write()
"""


@pytest.fixture
def ported(toy):
    """A port with its stored reference; gives a function that plants a fault in the port and runs the check."""
    toy.make_environment()
    check = {"kind": "alignment", "script": "checks/align.py", "stages": ["forward", "backward"], "computed": OWN}
    directory = toy.change(overlay={"toylib/linear.py": PORT}, edits={}, scripts={"align.py": CHECK}, checks=[check])
    rng = np.random.default_rng(68)
    weight, bias, x = (rng.normal(size=shape).astype(np.float32) for shape in ((SIDE, SIDE), (SIDE,), (ROWS, SIDE)))
    grad = rng.normal(size=(ROWS, SIDE)).astype(np.float32)
    wide = [array.astype(np.float64) for array in (weight, bias, x, grad)]
    results = {
        "out": wide[2] @ wide[0] + wide[1],
        "grad_weight": wide[2].T @ wide[3],
        "grad_bias": wide[3].sum(0),
        "grad_x": wide[3] @ wide[0].T,
    }
    stored = {name: array.astype(np.float32) for name, array in results.items()}
    put(directory / "reference" / "set.safetensors", b"")
    save_file({"weight": weight, "bias": bias, "x": x, "grad": grad, **stored}, directory / "reference" / "set.safetensors")

    def run(old, new):
        assert old in PORT
        put(directory / "overlay" / "toylib" / "linear.py", PORT.replace(old, new))
        ran = toy.cli("check", "toy-linear", "--json")
        return ran.status, ran.row("alignment")

    return run


def test_the_port_without_a_fault_is_green(ported):
    status, row = ported("", "")
    assert (status, row["outcome"]) == (0, "passed")
    assert row["details"]["stages"]["forward"]["max_rel"] < 1e-6


FORWARD = "return x @ weight + bias"
FAULTS = {
    "nan": (FORWARD, "out = x @ weight + bias\n    out[57, 3] = np.nan\n    return out", "not finite at [57, 3]"),
    "infinity": (FORWARD, "out = x @ weight + bias\n    out[0, 39] = -np.inf\n    return out", "not finite at [0, 39]"),
    "one outlier in 4000": (FORWARD, "out = x @ weight + bias\n    out[99, 39] *= 1.001\n    return out", "at [99, 39]"),
    "a transposed square weight": (FORWARD, "return x @ weight.T + bias", "max abs"),
    "a dropped bias": (FORWARD, "return x @ weight", "max abs"),
    "a transposed result": (FORWARD, "return (x @ weight + bias).T", "shape (40, 100), want (100, 40)"),
    "one row that broadcasts": (FORWARD, "return (x @ weight + bias)[:1]", "shape (1, 40), want (100, 40)"),
    "a scale that is a little off": (FORWARD, "return x @ (weight * 1.0001) + bias", "max abs"),
    "half precision on the way": (FORWARD, "return (x @ weight + bias).astype(np.float16).astype(np.float32)", "max abs"),
    "a gradient of the transpose": ("grad @ weight.T", "grad @ weight", "grad_x: max abs"),
    "a gradient that is a mean": ("grad.sum(0)", "grad.mean(0)", "grad_bias: max abs"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_port_is_red(ported, name):
    old, new, said = FAULTS[name]
    status, row = ported(old, new)
    assert (status, row["outcome"]) == (1, "failed")
    assert row["summary"].startswith("1 of 4 pairs differ: ")
    assert said in row["summary"]


# ---- scripts that prove nothing ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason", "said"),
    [
        (CHECK.replace('"backward", name', '"forward", name'), "script_failed", "the script recorded nothing for a stage"),
        (CHECK.replace("recorder.write()", ""), "script_failed", "the script wrote no output"),
        (CHECK + "\nraise SystemExit(4)\n", "script_failed", "command failed with status 4"),
        (CHECK + "\nopen(os.path.join(args.out, 'pairs.json'), 'w').write('[{')\n", "script_failed", "is not JSON"),
        (
            CHECK + "\nopen(os.path.join(args.out, 'pairs.json'), 'w').write('[{}]')\n",
            "script_failed",
            "does not match its check kind",
        ),
        (CHECK + "\nos.truncate(os.path.join(args.out, 'pairs.safetensors'), 100)\n", "script_failed", "tensors cannot be read"),
        ("raise MemoryError\n", "out_of_memory", "command failed"),
        ("import time\ntime.sleep(600)\n", "timeout", "timed out after 1 s"),
        (None, "script_failed", "script is missing"),
    ],
)
def test_a_script_that_measures_nothing_is_an_error(toy, script, reason, said):
    toy.make_environment()
    check = {"kind": "alignment", "script": "checks/align.py", "stages": ["forward", "backward"], "computed": OWN}
    check |= {"timeout_s": 1} if reason == "timeout" else {}
    directory = toy.change(overlay={"toylib/linear.py": PORT}, edits={}, scripts={"align.py": script or ""}, checks=[check])
    rng = np.random.default_rng(0)
    shapes = {"weight": (2, 2), "bias": (2,), "x": (3, 2), "grad": (3, 2), "out": (3, 2)}
    shapes |= {"grad_weight": (2, 2), "grad_bias": (2,), "grad_x": (3, 2)}
    (directory / "reference").mkdir()
    save_file({name: rng.normal(size=shape) for name, shape in shapes.items()}, directory / "reference" / "set.safetensors")
    if script is None:
        (directory / "checks" / "align.py").unlink()
    ran = toy.cli("check", "toy-linear", "--json")
    row = ran.row("alignment")
    assert (ran.status, row["outcome"], row["reason"]) == (1, "error", reason)
    assert said in row["summary"] + json.dumps(row["details"])


# ---- training ------------------------------------------------------------------------------------

TRAIN = """
import argparse, json, os

parser = argparse.ArgumentParser()
for name in ("--out", "--fault"):
    parser.add_argument(name)
parser.add_argument("--mode", nargs="+")
parser.add_argument("--steps", type=int)
args = parser.parse_args()
for mode in args.mode:
    static = mode != "dygraph"
    rate, value, losses = (0.0 if args.fault == "constant" else 0.1), 1.0, []
    for step in range(args.steps):
        losses.append(value ** 2)
        value -= rate * value
    if static and args.fault == "drift":
        losses[36] *= 1.00002
    if static and args.fault == "nan":
        losses[20] = None
    if args.fault == "short":
        losses = losses[:-1]
    on = not (args.fault == "off" or args.fault == "half" and mode == "sot")
    proof = {"programs": int(on), "operators": 5, "executions": args.steps * on, "graph_breaks": int(args.fault == "breaks")}
    run = {"mode": mode, "losses": losses, "ms_per_step": [1.0] * args.steps, "paddle": "toy", "dtype": "float64"}
    run["static"] = proof if static else None
    with open(os.path.join(args.out, mode + ".json"), "w") as stream:
        json.dump(run, stream)
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("off", "ast: static training did not run (0 executions of a static program in 50 steps)"),
        ("half", "sot: static training did not run (0 executions of a static program in 50 steps)"),
        ("constant", "ast: the loss never moved, so it proves nothing"),
        ("drift", "ast: step 37 differs by 2.0e-05 > 1e-05"),
        ("nan", "ast: a loss is not finite"),
        ("short", "ast: 49 steps against 49, want 50"),
        ("breaks", "ast: 1 graph breaks, want a whole graph"),
        ("none", ""),
    ],
)
def test_a_fault_in_the_training_is_red(toy, fault, said):
    toy.make_environment()
    check = {"kind": "loss_consistency", "script": "checks/train.py", "args": ["--fault", fault]}
    toy.change(edits={}, scripts={"train.py": TRAIN}, checks=[check])
    ran = toy.cli("check", "toy-linear", "--json")
    row = ran.row("loss_consistency")
    assert (ran.status, row["outcome"]) == ((1, "failed") if said else (0, "passed"))
    assert row["summary"].startswith(said or "50 steps (float64), max gap 0.0e+00 at step 1, ast 0 breaks, sot 0 breaks")


# ---- tests, figures, builds and pages ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "outcome", "said"),
    [
        ("def test_a():\n    pass\n", "passed", "1 passed"),
        ("def test_a():\n    assert False\n", "failed", "0 passed, 1 failed"),
        ("import no_such_module\n", "failed", "0 passed, 1 failed"),
        ("import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    pass\n", "failed", "0 passed, 1 skipped"),
        ("A = 1\n", "error", "pytest ended with status 5"),
    ],
)
def test_tests_that_fail_or_test_nothing(toy, content, outcome, said):
    toy.make_environment()
    check = {"kind": "unit_tests", "paths": ["tests/test_linear.py"]}
    toy.change(overlay={"tests/test_linear.py": HEADER + content}, edits={}, checks=[check])
    row = toy.cli("check", "toy-linear", "--json").row("unit_tests")
    assert row["outcome"] == outcome
    assert row["summary"].startswith(said)


def test_a_figure_outside_its_bound(toy):
    toy.make_environment()
    script = "from proving.record import arguments, write_metrics\nwrite_metrics(arguments().out, {'miou': 0.4})\n"
    bound = {"metric": "miou", "min": 0.41}
    toy.change(edits={}, scripts={"m.py": script}, checks=[{"kind": "metrics", "script": "checks/m.py", "require": [bound]}])
    row = toy.cli("check", "toy-linear", "--json").row("metrics")
    assert (row["outcome"], row["summary"]) == ("failed", "miou 0.4 < 0.41")


@pytest.mark.parametrize(
    ("picture", "test", "outcome"), [(True, "True", "passed"), (True, "False", "failed"), (False, "True", "failed")]
)
def test_a_page_needs_its_tests_and_a_picture(toy, picture, test, outcome):
    toy.make_environment()
    shot = "pathlib.Path(request.config.getoption('--out'), 'page.png').write_bytes(b'png')" if picture else "pass"
    content = f"import pathlib\n\n\ndef test_page(request):\n    {shot}\n    assert {test}\n"
    conftest = "def pytest_addoption(parser):\n    parser.addoption('--out')\n"
    overlay = {"tests/page/test_page.py": HEADER + content, "tests/page/conftest.py": HEADER + conftest}
    toy.change(overlay=overlay, edits={}, checks=[{"kind": "app", "paths": ["tests/page/test_page.py"]}])
    row = toy.cli("check", "toy-linear", "--json").row("app")
    assert row["outcome"] == outcome, row


@pytest.mark.parametrize(("test", "outcome"), [("True", "passed"), ("False", "failed")])
def test_a_page_is_driven_by_a_script_of_the_change(toy, test, outcome):
    toy.make_environment()
    content = "import pathlib\n\n\ndef test_page(request):\n"
    content += f"    pathlib.Path(request.config.getoption('--out'), 'page.png').write_bytes(b'png')\n    assert {test}\n"
    conftest = "def pytest_addoption(parser):\n    parser.addoption('--out')\n"
    scripts = {"drive.py": content, "conftest.py": conftest}
    toy.change(edits={}, scripts=scripts, checks=[{"kind": "app", "script": "checks/drive.py"}])
    row = toy.cli("check", "toy-linear", "--json").row("app")
    assert row["outcome"] == outcome, row


@pytest.mark.parametrize(
    ("program", "outcome", "said"),
    [
        ("int main(void) { return 0; }\n", "passed", "1 passed, 0 failed"),
        ("int main(void) { return 1; }\n", "failed", "0 passed, 1 failed: answer::answer"),
        ("int main(void) { return x; }\n", "error", "command failed"),
    ],
)
def test_a_native_build(toy, program, outcome, said):
    import shutil

    if shutil.which("cmake") is None:
        pytest.skip("no cmake on this machine")
    cmake = "cmake_minimum_required(VERSION 3.10)\nproject(toy C)\nenable_testing()\n"
    cmake += "add_executable(answer a.c)\nadd_test(answer answer)\n"
    overlay = {"deploy/a.c": program, "deploy/CMakeLists.txt": cmake}
    toy.make_environment()
    toy.change(overlay=overlay, edits={}, checks=[{"kind": "native", "source": "deploy"}])
    row = toy.cli("check", "toy-linear", "--json").row("native")
    assert row["outcome"] == outcome, row
    assert row["summary"].startswith(said)


def test_a_native_build_that_lacks_a_library_is_the_machines_fault(toy):
    toy.make_environment()
    cmake = "cmake_minimum_required(VERSION 3.18)\nproject(toy CXX)\nfind_package(libnowhere REQUIRED CONFIG)\n"
    toy.change(overlay={"deploy/CMakeLists.txt": cmake}, edits={}, checks=[{"kind": "native", "source": "deploy"}])
    row = toy.cli("check", "toy-linear", "--json").row("native")
    assert (row["outcome"], row["reason"]) == ("error", "env_failed")
    assert "debian-packages.sh" in row["details"]["next"]


SOURCED = """
import numpy as np
from proving.record import Recorder, arguments

args = arguments()
recorder = Recorder(args.out)
want = np.arange(4.0)
{plant}
recorder.add("forward", "out", want, want, {how})
recorder.write()
"""


@pytest.mark.parametrize(
    ("plant", "how", "said"),
    [
        ("", "('set.npz', 'out')", ""),
        ("want = want + 1e-12", "('set.npz', 'out')", "want is not what set.npz holds at out"),
        ("want = want[:3]", "('set.npz', 'out')", "want is not what set.npz holds at out"),
        ("want = want[1:]", "('set.npz', 'out'), np.array([0, 1, 1, 1])", ""),
        ("", "('set.npz', 'other')", "set.npz holds no other"),
        ("", "('none.npz', 'out')", "its reference none.npz is not in reference/"),
        ("", "('../change.toml', 'out')", "its reference ../change.toml is not in reference/"),
        ("", "None", "want names no place in the reference set"),
    ],
)
def test_the_judge_reads_the_reference_itself(toy, plant, how, said):
    import numpy as np

    toy.make_environment()
    check = {"kind": "alignment", "script": "checks/align.py", "stages": ["forward"]}
    directory = toy.change(scripts={"align.py": SOURCED.format(plant=plant, how=how)}, checks=[check])
    (directory / "reference").mkdir()
    np.savez(directory / "reference" / "set.npz", out=np.arange(4.0))
    row = toy.cli("check", "toy-linear", "--json").row("alignment")
    assert (row["outcome"], said in row["summary"]) == ("failed" if said else "passed", True), row["summary"]
