"""`wheatstone apply deeponet predict`: a trained operator answers new inputs, with error bars."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from wheatstone.bench.errors import UserError
from wheatstone.bench.shown import printable, say

if TYPE_CHECKING:
    from wheatstone.domains.physics.surrogate import Answer, Surrogate
    from wheatstone.domains.physics.waveforms import Waveforms


def predict(
    model: Path,
    *,
    input: Path | None = None,
    at: Path | None = None,
    points: Annotated[int, Ge(2)] = 200,
    level: Annotated[float, Gt(0), Lt(1)] = 0.9,
    band: bool = False,
    out: Path | None = None,
    strict: bool = False,
) -> int:
    """Answer new inputs with a trained operator: a table of outputs with calibrated error bars.

    The bars' ends are the columns _low and _high. They hold for inputs that are drawn as those of training were; for
    others look at the spread of the members.

    Args:
        model: what `fit` wrote.
        input: a table of inputs: first column time, each other column one input; or one column, the sensors' values.
        at: a table of places (one column a coordinate, one row a place) where outputs are wanted.
        points: even places where no table is given.
        level: share of an output's points that lie within their error bars, in expectation.
        band: bars within which that share of the outputs lies everywhere, instead: they are wider.
        out: where the table of outputs goes; beside the inputs when not given.
        strict: refuse places and inputs outside what training showed, instead of warning.
    """
    import numpy as np

    from wheatstone.domains.physics.surrogate import load_operators
    from wheatstone.domains.physics.waveforms import at_sensors, read_waveforms

    if input is None:
        raise UserError("deeponet predict: give --input TABLE, whose first column is time and each other one an input.")
    outputs = load_operators(model)
    surrogate = next(iter(outputs.values()))  # all have the same sensors and places
    waves = read_waveforms(input)
    u = at_sensors(waves, surrogate.sensors)
    if at is not None:
        y = _places(read_waveforms(at), len(surrogate.box.low))
    elif len(surrogate.box.low) > 1:
        raise UserError(
            f"deeponet predict: {model.name} has {len(surrogate.box.low)} coordinates; give --at PLACES.csv."
        )
    else:
        y = np.linspace(surrogate.box.low[:1], surrogate.box.high[:1], points)
    doubts = [*_outside(surrogate, y), *surrogate.strangeness(u, waves.names)]
    if strict and doubts:
        raise UserError(f"{input.name}: {doubts[0]}. Without --strict this is a warning.")
    for doubt in doubts[:5]:
        print(printable(f"warning: {doubt}: the answer may be wrong, and so may its error bars."), file=sys.stderr)
    table = dict(zip((name.split()[0] for name in surrogate.box.names), y.T, strict=True))
    target = out or input.with_suffix(".out.csv")
    said: list[str] = []
    for name, one in outputs.items():
        answer = one.predict(u, y)
        # A model with none at all answers without; one that cannot promise this level says so.
        bars = one.half_width(answer, level, whole=band) if len(one.ratios) else None
        table |= _columns(answer, bars, waves.names, name if len(outputs) > 1 else "")
        about = f"the {level:.3g} {'band' if band else 'bars'}"
        said.append(_summary(name if len(outputs) > 1 else "from", answer, bars, about))
    _write(target, table)
    say(f"{target}: {len(u)} input{'s' if len(u) > 1 else ''} at {len(y)} places, {'; '.join(said)}")
    return 0


def _columns(answer: Answer, bars: Any, inputs: Sequence[str], output: str) -> dict[str, Any]:
    """Title -> values, of every input."""
    import numpy as np

    found: dict[str, Any] = {}
    for index, name in enumerate(inputs):
        words = [*([name] if len(inputs) > 1 else []), *([output.replace(",", "-")] if output else [])]
        title, mean = "_".join(words) or "s", answer.mean[index]
        found[title] = mean
        if not np.isnan(answer.spread).all():
            found[f"{title}_spread"] = answer.spread[index]
        if bars is not None:
            found |= {f"{title}_low": mean - bars[index], f"{title}_high": mean + bars[index]}
    return found


def _summary(name: str, answer: Answer, bars: Any, about: str) -> str:
    """Range and error of one output."""
    low, high = float(answer.mean.min()), float(answer.mean.max())
    width = float((answer.spread if bars is None else bars).mean())
    what = f"half-width of {about}" if bars is not None else "spread of the members"
    share = f" ({width / (high - low):.1%} of that)" if width < high - low else ""
    told = f"; mean {what} {width:.2g}{share}" if math.isfinite(width) else ""
    return f"{name} {low:.5g} to {high:.5g}{told}"


def _places(table: Waveforms, dim: int) -> Any:
    """Places from a table."""
    import numpy as np

    columns = table.values if table.time is None else np.concatenate([table.time[None], table.values])
    if len(columns) != dim:
        raise UserError(f"{table.name}: {len(columns)} columns; a place of this operator has {dim} coordinate(s).")
    return np.ascontiguousarray(columns.T)


def _outside(surrogate: Surrogate, y: Any) -> list[str]:
    """Which places lie outside the domain."""
    found: list[str] = []
    box = surrogate.box
    for column, (low, high, name) in enumerate(zip(box.low, box.high, box.names, strict=True)):
        slack = 1e-9 * (high - low)
        bad = (y[:, column] < low - slack) | (y[:, column] > high + slack)
        if bad.any():
            found.append(f"{int(bad.sum())} place(s) outside {low:g} <= {name} <= {high:g}, as {y[bad][0, column]:g}")
    return found


def _write(path: Path, table: Mapping[str, Any]) -> None:
    from wheatstone.bench.files import write_atomically

    rows = (",".join(f"{value:.9g}" for value in row) for row in zip(*table.values(), strict=True))
    write_atomically(path, "\n".join([",".join(table), *rows, ""]).encode())
