"""One reference set in one precision: what is compared, and under which key.

    case = Case(recorder, reference, "float64")
    case.compare("forward", "logits", out.logits, keep=mask)          # the whole tensor, or what is stored of it
    case.vector("backward", "grad_l2", gradients, case.norm)          # one number a parameter, in the reference's order
    case.series("optimizer", "sgd_losses", descend(model, loss, 0.01, case.length("sgd_losses")))

Keys of pairs are `<set>.<key>`, with `.f64` behind them in float64. What the set lacks is skipped by its name, and `close` says so.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from . import reference as stored_sets
from . import seeding
from .record import Recorder

Values = Mapping[str, Optional[np.ndarray]]


class Case:
    """name: what the keys of pairs begin with; dtype: "float32" or "float64", of the port and of what it is compared with."""

    def __init__(
        self, recorder: Recorder, reference: stored_sets.ReferenceSet, dtype: str = "float32", name: Optional[str] = None
    ) -> None:
        self.recorder, self.reference, self.dtype = recorder, reference, dtype
        self.name = reference.name if name is None else name
        self.double = dtype == "float64"
        self.lacking = []  # type: List[str]

    def key(self, name: str) -> str:
        """The key of a pair."""
        return "%s%s%s" % (self.name + "." if self.name else "", name, ".f64" if self.double else "")

    def holds(self, key: str) -> bool:
        """Whether the set holds it in this precision; what it lacks is remembered by name."""
        if self.reference.holds(key, self.dtype):
            return True
        if key not in self.lacking:
            self.lacking.append(key)
        return False

    def stored(self, key: str) -> np.ndarray:
        """The stored array of that key, in this precision."""
        return self.reference.arrays[stored_sets.stored_key(key, self.dtype)]

    def length(self, key: str) -> int:
        """Elements of a stored series, 0 where there is none in this precision."""
        return int(self.stored(key).size) if self.reference.holds(key, self.dtype) else 0

    def compare(self, stage: str, key: str, got: Any, keep: Optional[Any] = None, pair: Optional[str] = None) -> bool:
        """Compare a whole tensor with what is stored of it under `key`; False where the set has no such value.

        keep: a mask of the first axes; what it leaves out (padding) is not compared. pair: the pair's key, where it is another one.
        """
        if not self.holds(key):
            return False
        arrays, there = self.reference.arrays, stored_sets.stored_key(key, self.dtype)
        full = as_array(got)
        if there + "__shape" not in arrays and full.shape != arrays[there].shape and full.size == arrays[there].size == 1:
            full = full.reshape(arrays[there].shape)  # scalars are stored as one element or as none
        ours, want = seeding.samples(arrays, there, full)
        mask = stored_sets.sampled(arrays, there, keep, full.shape)
        if mask is not None:
            shape = want.shape
            ours, want = ours.reshape(-1)[mask], want.reshape(-1)[mask]
            mask = mask.reshape(shape)
        self._add(stage, pair or key, ours, want, there, mask)
        if there + "__stats" in arrays and keep is None:
            statistics = seeding.stored_statistics(arrays, there, full)  # all but the first, which is the sum
            self._add(stage, (pair or key) + ".statistics", *statistics, there + "__stats", np.arange(5) > 0)
        return True

    def _add(
        self, stage: str, key: str, got: Any, want: Any, there: str, keep: Optional[np.ndarray] = None, fill: Any = None
    ) -> None:
        self.recorder.add(stage, self.key(key), got, want, self.reference.sources[there], keep, fill)

    def named(self, stage: str, path: str, got: Any, pair: str) -> None:
        """Compare a number with one that the manifest itself holds, at the path `cases.0.loss`."""
        source = stored_sets.Source(self.reference.manifest_file, path)
        want = stored_sets.read_source(self.reference.directory, *source)
        self.recorder.add(stage, self.key(pair), got, np.asarray(want, as_array(got).dtype), source)

    def made(self, stage: str, key: str, got: Any, want: Any) -> None:
        """A pair whose `want` is computed here and stands in no set."""
        self.recorder.add(stage, self.key(key), got, want)

    def series(self, stage: str, key: str, got: Sequence[float], each: str = "", first: int = 0) -> bool:
        """A series of ours against the beginning of the stored one.

        each: a pair of every step, under this form with the step's number in it ("sgd.loss.%d"); `first` is that of the first.
        """
        if not self.holds(key):
            return False
        there, want, ours = stored_sets.stored_key(key, self.dtype), self.stored(key), np.asarray(got, np.float64)
        if not 0 < len(ours) <= len(want):
            raise ValueError("%s: %d steps were made, the set has %d" % (key, len(ours), len(want)))
        steps = np.arange(len(want))
        if each:
            for step, value in enumerate(ours):
                self._add(stage, each % (step + first), value, want[step], there, steps == step)
        elif len(ours) == len(want):
            self._add(stage, key, ours, want, there)
        else:
            self._add(stage, key, ours, want[: len(ours)], there, steps < len(ours))
        return True

    def vector(
        self, stage: str, key: str, values: Mapping[str, Optional[np.ndarray]], read: Callable[[str, np.ndarray], float]
    ) -> bool:
        """One number a parameter, `read(name, array)`, in the set's order. values: {name in the original: array in its layout}.

        A value that is None (a parameter without gradient) counts as zero.
        """
        return self.holds(key) and self.compare(stage, key, self.numbers(values, read))

    def numbers(self, values: Values, read: Callable[[str, np.ndarray], float]) -> np.ndarray:
        """`read(name, array)` of every parameter in the set's order; zero for None."""
        found = [values[name] for name in self.reference.order]
        return np.array([0.0 if value is None else read(name, value) for name, value in zip(self.reference.order, found)])

    def probe(self, name: str, value: np.ndarray) -> float:
        """Dot product with the seeded probe of that name: a norm does not see a permutation, this does."""
        return float(np.vdot(value.astype(np.float64), self.reference.seeded("probe:" + name, value.shape).astype(np.float64)))

    def ids(self, stage: str, key: str, got: Any, end: Optional[int] = None, start: int = 0, pair: Optional[str] = None) -> bool:
        """Generated ids [N, T] against the stored ones from column `start` on; with `end`, what stands behind it is -1."""
        if not self.holds(key):
            return False
        there, want, ours = stored_sets.stored_key(key, self.dtype), self.stored(key), as_array(got)
        keep = np.zeros(want.shape, bool)
        keep[:, start:] = True
        want, fill, mask = want[:, start:], None, keep if start else None
        if end is not None:
            ours, padding = stored_sets.after_end(ours, end), stored_sets.behind(want, end)
            want = stored_sets.after_end(want, end)
            if start:
                raise ValueError("%s: `end` and `start` together are not told apart in pairs.json" % key)
            fill, mask = (-1, ~padding) if padding.any() else (None, None)
        self._add(stage, pair or key, ours, want, there, mask, fill)
        return True

    def close(self) -> None:
        """Say what was skipped, and write it down for the judge."""
        if self.lacking:
            print("%s in %s: the set holds no %s" % (self.name, self.dtype, ", ".join(self.lacking)), flush=True)
            self.recorder.skip(self.key(name) for name in self.lacking)


def as_array(value: Any) -> np.ndarray:
    """A tensor of any framework, or numbers, as an array."""
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def norm(name: str, value: np.ndarray) -> float:
    """L2 norm, summed in float64; to be read by `Case.vector`."""
    return float(np.sqrt(np.square(value.astype(np.float64)).sum()))


def gradients(model: Any) -> Dict[str, Optional[np.ndarray]]:
    """{name in the port: gradient} of a paddle Layer, under every name of a tied parameter; None where there is none."""
    named = {**model.state_dict(), **dict(model.named_parameters())}
    return {name: None if value.grad is None else value.grad.numpy() for name, value in named.items()}


def descend(
    model: Any,
    loss_of: Callable[[], Any],
    rate: float,
    steps: int,
    first: Callable[[], Any] = lambda: None,
    start: Optional[Tuple[float, Mapping[str, Any]]] = None,
    finish: bool = False,
) -> List[float]:
    """The loss before each of `steps` steps of plain SGD on one batch, from the weights that the model has.

    loss_of: the scalar loss of the model. first: called when the first step's gradients are there. start: (loss, {name: gradient})
    of the first step, where they are known already. finish: make the last update too; else the last loss needs no gradient.
    """
    import paddle

    optimizer = paddle.optimizer.SGD(rate, parameters=[p for p in model.parameters() if not p.stop_gradient])
    losses = []
    for step in range(steps):
        if step == 0 and start is not None:
            losses.append(float(start[0]))
            named = dict(model.named_parameters())
            for name, gradient in start[1].items():
                named[name].grad = gradient
        elif step == steps - 1 and not finish and step > 0:
            with paddle.no_grad():
                losses.append(float(loss_of()))
            break
        else:
            loss = loss_of()
            loss.backward()
            losses.append(float(loss))
        if step == 0:
            first()
        optimizer.step()
        optimizer.clear_grad()
    return losses
