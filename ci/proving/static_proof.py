"""Proof that static programs really ran, and where SOT left the graph. For paddle 2.6 and 3.x.

Whatever `paddle.jit.to_static` was told, a program that runs goes through `PartialProgramLayer`: counting there cannot be fooled
by a switch that is silently off. Graph breaks are counted where SOT handles them, not where it first speaks of one: it probes,
and wraps a break again at each inlined call.
"""

import functools
import importlib
import os
import re
import sys
from typing import Any, Callable, Dict

PROGRAM_MODULES = ("paddle.jit.dy2static.partial_program", "paddle.jit.dy2static.pir_partial_program")
EXECUTOR_MODULE = "paddle.jit.sot.opcode_translator.executor.opcode_executor"
TRANSLATE_MODULE = "paddle.jit.sot.opcode_translator.executor.executor_cache"
# What a PIR program lists beside its operators: constants, inputs, outputs.
NOT_OPERATORS = ("builtin.parameter", "builtin.shadow_output", "builtin.combine", "pd_op.data", "pd_op.fetch")
REASON_LENGTH = 400


def prepare_environment(mode: str) -> None:
    """Environment variables of a mode; paddle reads them when a function is converted, so call this before `to_static`."""
    if mode not in ("dygraph", "ast", "sot"):
        raise ValueError("unknown mode %r; use dygraph, ast or sot" % mode)
    # The default of `to_static(full_graph=None)`, which a suite's own switch may rely on.
    os.environ["ENABLE_FALL_BACK"] = "True" if mode == "sot" else "False"
    os.environ["MIN_GRAPH_SIZE"] = "0"  # SOT runs graphs of fewer than 10 operators eagerly otherwise
    os.environ["COST_MODEL"] = "False"  # 2.6: SOT would go back to eager where it guesses that eager is faster


def short_path(path: str) -> str:
    """`path` without the machine's part: relative to the work tree or to site-packages."""
    for marker in (os.getcwd() + os.sep, "site-packages" + os.sep):
        if marker in path:
            return path.split(marker, 1)[1]
    return path


def clean_reason(text: Any) -> str:
    """One line without addresses and machine paths, so that two runs give the same text."""
    line = " ".join(str(text).split())
    line = re.sub(r"0x[0-9a-fA-F]+", "0x", line)
    line = re.sub(r"/[^\s\"':,]+", lambda found: short_path(found.group(0)), line)
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 4] + " ..."


class StaticProof:
    """Counts executions, programs and graph breaks from `start` to `stop`."""

    def __init__(self) -> None:
        self.executions = 0
        self._layers = {}  # type: Dict[int, Any]  # also keeps them alive, so that an id is never used again
        self._breaks = {}  # type: Dict[str, str]  # place -> reason; a retranslation of the same place is the same break
        self._depth = 0
        self._undo = []  # type: List[Callable[[], None]]

    def __enter__(self) -> "StaticProof":
        self.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Put the counters in place. Raises RuntimeError if this paddle has none of the known places."""
        _keep_out_of_eval_frame()
        hooked = 0
        for name in PROGRAM_MODULES:
            layer = getattr(_module(name), "PartialProgramLayer", None)
            for method in ("__call__", "sot_call"):
                hooked += layer is not None and self._wrap(layer, method, self._count_execution)
        if not hooked:
            raise RuntimeError("no PartialProgramLayer in this paddle: teach static_proof.PROGRAM_MODULES where programs run")
        executor = getattr(_module(EXECUTOR_MODULE), "OpcodeExecutor", None)
        for method in [m for m in dir(executor) if m.startswith("_break_graph")]:
            self._wrap(executor, method, self._note_break)
        for method in ("check_code_simulatable", "transform"):
            self._wrap(executor, method, self._note_fallback)
        self._wrap(_module(TRANSLATE_MODULE), "start_translate", self._note_untranslated)

    def stop(self) -> None:
        """Take the counters away again."""
        while self._undo:
            self._undo.pop()()

    def summary(self) -> Dict[str, Any]:
        """What the result file holds under `static`."""
        return {
            "programs": len(self._layers),
            "operators": sum(_count_operators(layer) for layer in self._layers.values()),
            "executions": self.executions,
            "graph_breaks": len(self._breaks),
            "graph_break_reasons": ["%s: %s" % item for item in sorted(self._breaks.items())],
        }

    def _wrap(self, owner: Any, name: str, observer: Callable[..., Any]) -> bool:
        original = owner.__dict__.get(name) if owner is not None else None
        if original is None:
            return False

        @functools.wraps(original)
        def observed(this: Any, *args: Any, **kwargs: Any) -> Any:
            return observer(original, this, *args, **kwargs)

        setattr(owner, name, observed)
        self._undo.append(lambda: setattr(owner, name, original))
        return True

    def _count_execution(self, original: Callable[..., Any], this: Any, *args: Any, **kwargs: Any) -> Any:
        self._depth += 1  # one entry point may call the other
        try:
            result = original(this, *args, **kwargs)
        finally:
            self._depth -= 1
        if self._depth == 0:
            self.executions += 1
            self._layers[id(this)] = this
        return result

    def _note_break(self, original: Callable[..., Any], this: Any, *args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        self._breaks.setdefault(
            _place(this), clean_reason(error) if error else "branch or loop on a tensor (%s)" % original.__name__
        )
        return original(this, *args, **kwargs)

    def _note_fallback(self, original: Callable[..., Any], this: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(this, *args, **kwargs)
        except Exception as error:
            self._breaks.setdefault(_place(this), "whole frame runs eagerly: %s: %s" % (type(error).__name__, clean_reason(error)))
            raise

    def _note_untranslated(self, original: Callable[..., Any], frame: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(frame, *args, **kwargs)
        code = frame.f_code
        nested = [c.co_name for c in code.co_consts if hasattr(c, "co_name") and c.co_name.startswith("<")]
        # Paddle 2.6 on Python 3.11 gives up such a frame at once and says so in its log only.
        if nested and result[0].code is None and sys.version_info >= (3, 11):
            place = "%s:%s %s" % (short_path(code.co_filename), code.co_firstlineno, code.co_name)
            self._breaks.setdefault(place, "whole frame runs eagerly: it holds %s" % ", ".join(sorted(set(nested))))
        return result


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None  # this version of paddle has another implementation


def _keep_out_of_eval_frame() -> None:
    """SOT translates every frame it meets, these wrappers too, unless their directory is on its skip list."""
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    skip = _module("paddle.jit.sot.opcode_translator.skip_files")
    if skip is not None:
        skip.skip_file_names.add(here)
        skip.setup_skip_files()


def _place(executor: Any) -> str:
    code = executor.vframe.code if hasattr(executor, "vframe") else executor._code
    line = executor._current_line if (executor._current_line or -1) > 0 else code.co_firstlineno
    return "%s:%s %s" % (short_path(code.co_filename), line, code.co_name)


def _count_operators(layer: Any) -> int:
    """Operators of the forward program, those of nested blocks included."""
    program = getattr(layer, "program", None)
    program = getattr(program, "forward_program", None) or layer.forward_program
    if hasattr(program, "blocks") and hasattr(program, "desc"):
        return sum(len(block.ops) for block in program.blocks)
    return _count_pir(program.global_block())


def _count_pir(block: Any) -> int:
    total = 0
    for operator in block.ops:
        total += operator.name() not in NOT_OPERATORS
        total += sum(_count_pir(inner) for inner in operator.blocks())
    return total
