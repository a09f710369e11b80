"""Weights by name: one rule for loading, and how a port's parameters are made of the original's. numpy alone.

The rule: both sets of names are used up, every shape is the model's, and what is refused is named. docs/porting.md says what
a port's own loader must do; `faults` plants what it must refuse.
"""

from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

HALF = 1 << 16  # two halves of a number are sent through the converter, so that float32 holds each


def refuse(state: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], what: str = "the model") -> None:
    """Raise ValueError with the tensors named where `state` is not exactly `shapes`: unknown, missing, or of another shape."""
    have = {name: tuple(np.shape(value)) for name, value in state.items()}
    want = {name: tuple(int(n) for n in shape) for name, shape in shapes.items()}
    problems = ["unknown: %s" % name for name in sorted(set(have) - set(want))]
    problems += ["missing: %s" % name for name in sorted(set(want) - set(have))]
    for name in sorted(set(have) & set(want)):
        if have[name] != want[name]:
            turned = " (transposed: another framework's layout?)" if have[name] == want[name][::-1] else ""
            problems.append("%s is %s, want %s%s" % (name, list(have[name]), list(want[name]), turned))
    if problems:
        more = ", and %d more" % (len(problems) - 8) if len(problems) > 8 else ""
        raise ValueError("these are not the weights of %s: %s%s" % (what, "; ".join(problems[:8]), more))


def assign(model: Any, state: Mapping[str, np.ndarray], without: Sequence[str] = ()) -> None:
    """Give a paddle Layer exactly these tensors, in its own types. Raises ValueError as `refuse` does.

    A second name of one parameter (tied) is filled with it. without: beginnings of names that the original does not have.
    """
    own = model.state_dict()
    given = {id(own[name]) for name in state if name in own}
    needed = {name for name, value in own.items() if id(value) not in given and not name.startswith(tuple(without))}
    shapes = {name: value.shape for name, value in own.items() if name in state or name in needed}
    refuse(state, shapes, type(model).__name__)
    for name in state:
        own[name].set_value(np.asarray(state[name]).astype(own[name].numpy().dtype))


def faults(state: Mapping[str, np.ndarray]) -> Iterator[Tuple[str, Dict[str, np.ndarray], str]]:
    """(what is wrong, a broken copy of `state`, the tensor that a refusal must name) for each fault that a loader must refuse."""
    names = sorted(state)
    matrix = next((name for name in names if np.ndim(state[name]) == 2 and len(set(np.shape(state[name]))) == 2), None)
    yield "unknown", dict(state, **{"forklift.unknown": np.zeros(2, np.float32)}), "forklift.unknown"
    yield "missing", {name: value for name, value in state.items() if name != names[-1]}, names[-1]
    if matrix is not None:
        yield "transposed", dict(state, **{matrix: np.ascontiguousarray(np.asarray(state[matrix]).T)}), matrix


def not_refused(
    load: Callable[[Dict[str, np.ndarray]], Any], state: Mapping[str, np.ndarray], more: Sequence[Any] = ()
) -> List[str]:
    """Faults of `state` that `load` takes without a word, or refuses without naming the tensor; empty if it keeps the rule.

    more: further (what is wrong, broken state, the tensor to name): another layout of equal shapes, say.
    """
    left = []
    for what, broken, name in [*faults(state), *more]:
        try:
            load(broken)
            left.append("%s (%s) is loaded" % (what, name))
        except Exception as refusal:  # whatever the port raises
            if name not in str(refusal):
                left.append("%s: %s is not named in %r" % (what, name, str(refusal)[:200]))
    return left


class Layout:
    """Which element of the original's tensors stands where in the port's: numbered elements are sent through its converter.

    names: {name in the original: [names in the port]}. A converter that drops an element, uses one twice or computes with it is
    an error.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], convert: Callable[[Dict[str, np.ndarray]], Mapping[str, Any]]) -> None:
        """entries: name, shape and kind of the original's tensors; `convert` takes a state in its names, gives one in ours."""
        numbered = [entry for entry in entries if entry["kind"] not in ("const", "counter")]
        self._shapes = {entry["name"]: tuple(int(n) for n in entry["shape"]) for entry in numbered}
        self._starts = {}  # type: Dict[str, int]
        total = 1  # 0 marks what the converter fills in itself
        for name, shape in self._shapes.items():
            self._starts[name] = total
            total += int(np.prod(shape, dtype=np.int64))
        halves = [
            convert(
                {
                    name: (self._numbers(name) // HALF if high else self._numbers(name) % HALF).astype(np.float32)
                    for name in self._shapes
                }
            )
            for high in (True, False)
        ]
        self._index = {}  # type: Dict[str, np.ndarray]
        for own in halves[0]:
            pair = [np.asarray(half[own]) for half in halves]
            if pair[0].dtype.kind == "f":
                self._index[own] = _joined(own, *pair)
        self.names = self._uses(total)

    def _numbers(self, name: str) -> np.ndarray:
        start, shape = self._starts[name], self._shapes[name]
        return np.arange(start, start + int(np.prod(shape, dtype=np.int64))).reshape(shape)

    def _parts(self, index: np.ndarray) -> List[str]:
        """Tensors of the original that these elements come from."""
        starts, names = np.array(list(self._starts.values())), list(self._starts)
        used = index[index > 0]
        if not used.size:
            return []
        first, last = np.searchsorted(starts, [used.min(), used.max()], side="right") - 1
        if first == last:
            return [names[first]]
        return [names[n] for n in np.unique(np.searchsorted(starts, used, side="right") - 1)]

    def _uses(self, total: int) -> Dict[str, List[str]]:
        seen, names = np.zeros(total, bool), {name: [] for name in self._shapes}  # type: Any
        for own, index in self._index.items():
            used = index[index > 0]
            parts = self._parts(index)
            marks = np.bincount(used - used.min(), minlength=1) if used.size else np.zeros(1, int)
            if seen[used].any() or marks.max() > 1:
                both = sorted({other for name in parts for other in names[name]} | {own})
                raise ValueError("%s fills more than one place: %s" % (", ".join(parts[:4]), ", ".join(both[:4])))
            seen[used] = True
            for name in parts:
                names[name].append(own)
        dropped = [
            name for name in self._shapes if not seen[self._starts[name] : self._starts[name] + self._numbers(name).size].all()
        ]
        if dropped:
            raise ValueError("the converter drops %s" % ", ".join(dropped[:8]))
        return names

    def back(self, values: Mapping[str, Optional[np.ndarray]]) -> Dict[str, Optional[np.ndarray]]:
        """The port's tensors as the original has them: {name there: array}; None where a part of one is None or not given."""
        found = {}  # type: Dict[str, Optional[np.ndarray]]
        flat = {}  # type: Dict[str, np.ndarray]
        for own, index in self._index.items():
            value = values.get(own)
            for name in self._parts(index):
                if value is None:
                    found[name] = None
                    continue
                start = self._starts[name]
                inside = (index >= start) & (index < start + self._numbers(name).size)
                target = flat.setdefault(name, np.empty(self._numbers(name).size, np.asarray(value).dtype))
                target[index[inside] - start] = np.asarray(value).reshape(-1)[inside]
        for name, value in flat.items():
            found.setdefault(name, value.reshape(self._shapes[name]))
        return found


def _joined(own: str, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    index = high.astype(np.float64) * HALF + low.astype(np.float64)
    whole = np.rint(index)
    if not np.array_equal(whole, index) or index.min(initial=0) < 0:
        raise ValueError("the converter computes with the elements of %s; compare it by a check of its own" % own)
    return whole.astype(np.int64).reshape(-1)
