"""A trained operator as a file: networks with their sensors, domain and the range of inputs that they were shown.

The members' disagreement says where an error is likely, not how large it is: members share their data, and what all of
them get wrong none of them sees. Errors on functions that were kept out of training (`calibrated`) turn it into error
bars that hold, with sqrt(spread^2 + floor^2) as scale; the floor, so that members who agree are not taken for right,
is the root mean square of the training error.

Source  `wheatstone.learn.conformal`; for operators Ma, Azizzadenesheli and Anandkumar, TMLR 2024, arXiv:2402.01960
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from wheatstone.bench.checkpoint import read_tensors, write_tensors
from wheatstone.bench.config import from_json, to_json
from wheatstone.bench.errors import UserError
from wheatstone.domains.physics.function_spaces import Array
from wheatstone.domains.physics.operators import Box
from wheatstone.learn.conformal import fewest_cases, risk_factor, split_quantile
from wheatstone.learn.models.operator_network import OperatorNetwork, OperatorNetworkConfig

FORMAT = 2
"""1: one output. 2: several."""
BLOCK = 200_000
"""Rows that a fully connected network computes at once."""


class Answer(NamedTuple):
    """Outputs of several functions at the same places."""

    mean: Float[Array, "function point"]
    spread: Float[Array, "function point"]
    """Standard deviation over the members; NaN with one member."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """One network, or an ensemble whose disagreement is the error bar.

    Attributes:
        members: networks of one shape.
        sensors: places of the sensors, in the input's unit.
        box: domain of the output.
        low, high: least and largest input of the training data.
        roughest: largest change from one sensor to the next in the training data.
        about: what the operator is, for people.
        floor: least scale of an error, in the unit of the output; NaN where error bars are not calibrated.
        ratios: error over scale on the functions that calibrate; none where there were none.
    """

    members: Sequence[OperatorNetwork]
    sensors: Float[Array, " sensor"]
    box: Box
    low: float
    high: float
    roughest: float
    about: str
    floor: float = math.nan
    ratios: Float[Array, "function point"] = dataclasses.field(default_factory=lambda: np.empty((0, 0)))

    def predict(self, u: Float[Array, "function sensor"], y: Float[Array, "point dim"]) -> Answer:
        """The output of every function at every place. Raises UserError for another number of sensors."""
        if u.shape[1] != len(self.sensors):
            raise UserError(f"expected {len(self.sensors)} sensor values, got {u.shape[1]}.")
        found = np.stack([everywhere(member, u, y) for member in self.members])
        spread = found.std(0, ddof=1) if len(found) > 1 else np.full_like(found[0], np.nan)
        return Answer(found.mean(0), spread)

    def calibrated(
        self,
        u: Float[Array, "function sensor"],
        y: Float[Array, "function point dim"],
        s: Float[Array, "function point"],
        floor: float,
    ) -> Surrogate:
        """The same with error bars set by functions that played no part in training.

        Args:
            u: their sensors.
            y: places of their labels.
            s: labels.
            floor: root mean square of the training error.
        """
        # Networks that have no training error at all still round.
        floor = max(floor, 1e-7 * float(np.abs(s).max(initial=0.0)), 1e-300)
        found = dataclasses.replace(self, floor=floor)
        answer = found.at_places(u, y)
        return dataclasses.replace(found, ratios=np.abs(answer.mean - s) / found.scale(answer))

    def at_places(self, u: Float[Array, "function sensor"], y: Float[Array, "function point dim"]) -> Answer:
        """The output of each function at places of its own."""
        if bool((y == y[:1]).all()):
            return self.predict(u, y[0])
        each = [self.predict(row[None], places) for row, places in zip(u, y, strict=True)]
        return Answer(*(np.concatenate(parts) for parts in zip(*each, strict=True)))

    def scale(self, answer: Answer) -> Float[Array, "function point"]:
        """On which scale an answer may err."""
        return np.hypot(np.nan_to_num(answer.spread), self.floor)

    def promises(self, level: float) -> bool:
        """Whether there are error bars of this level: enough functions calibrated them."""
        return len(self.ratios) >= fewest_cases(level)

    def half_width(self, answer: Answer, level: float, *, whole: bool = False) -> Float[Array, "function point"]:
        """Error bars of an answer: the truth lies within mean plus or minus this.

        Args:
            answer: what `predict` gave.
            level: share of an output's points within its bars, in expectation over inputs like those of training; or
                share of outputs that lie within them everywhere.
            whole: the second of these.

        Raises UserError where too few functions were kept apart for that level.
        """
        if not self.promises(level):
            raise UserError(
                f"error bars of level {level:g} need {fewest_cases(level)} functions that were kept out of training; "
                f"this operator has {len(self.ratios)}. Ask for a lower level, or train with more functions."
            )
        factor = split_quantile(self.ratios.max(1), level) if whole else risk_factor(self.ratios, level)
        return factor * self.scale(answer)

    def strangeness(self, u: Float[Array, "function sensor"], names: Sequence[str]) -> list[str]:
        """What about these inputs the training data did not show, in words; empty when nothing."""
        found: list[str] = []
        for name, row in zip(names, u, strict=True):
            if row.min() < self.low or row.max() > self.high:
                found.append(
                    f"{name} runs from {row.min():.4g} to {row.max():.4g}; in training it was {self.low:.4g} to "
                    f"{self.high:.4g}"
                )
            elif np.abs(np.diff(row)).max(initial=0.0) > self.roughest:
                found.append(
                    f"{name} changes by {np.abs(np.diff(row)).max():.3g} from one sensor to the next; in training it "
                    f"was {self.roughest:.3g} at most"
                )
        return found

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        tensors, record = self.stored()
        write_tensors(path, tensors, {"surrogate": 1, **record})

    @classmethod
    def load(cls, path: Path) -> Surrogate:
        """Reads what `save` wrote. Raises UserError for anything else."""
        found = load_operators(path)
        if len(found) > 1:
            raise UserError(f"{path}: {len(found)} outputs ({', '.join(found)}), one was expected.")
        return next(iter(found.values()))

    def stored(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and the JSON record that a file holds."""
        tensors: dict[str, Tensor] = {"sensors": torch.from_numpy(self.sensors)}
        for index, member in enumerate(self.members):
            tensors |= {f"{index}.{name}": value for name, value in member.state_dict().items()}
        if len(self.ratios):
            tensors["ratios"] = torch.from_numpy(self.ratios)
        return tensors, {
            "network": to_json(self.members[0].cfg),
            "members": len(self.members),
            "box": [list(self.box.low), list(self.box.high), list(self.box.names)],
            "range": [self.low, self.high, self.roughest],
            "about": self.about,
            "floor": self.floor if len(self.ratios) else None,
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> Surrogate:
        """The inverse of `stored`. Raises whatever damage leads to."""
        cfg = from_json(OperatorNetworkConfig, record["network"])
        members: list[OperatorNetwork] = []
        for index in range(int(record["members"])):
            member = OperatorNetwork(cfg, torch.Generator().manual_seed(0))
            member.load_state_dict(_under(f"{index}.", tensors))
            members.append(member.eval())
        low, high, names = record["box"]
        least, largest, roughest = (float(value) for value in record["range"])
        sensors = tensors["sensors"].numpy().astype(np.float64)
        box = Box(tuple(low), tuple(high), tuple(names))
        ratios = tensors["ratios"].numpy() if "ratios" in tensors else np.empty((0, 0))
        if ratios.ndim != 2:
            raise ValueError(f"ratios have shape {ratios.shape}")
        floor = float(record["floor"]) if len(ratios) else math.nan
        return cls(members, sensors, box, least, largest, roughest, str(record["about"]), floor, ratios)


def save_operators(path: Path, outputs: Mapping[str, Surrogate]) -> None:
    """Writes the operators from one input to several outputs, by name, as one safetensors file."""
    if len(outputs) == 1:
        next(iter(outputs.values())).save(path)
        return
    tensors: dict[str, Tensor] = {}
    records: list[dict[str, Any]] = []
    for index, (name, surrogate) in enumerate(outputs.items()):
        own, record = surrogate.stored()
        tensors |= {f"{index}/{key}": value for key, value in own.items()}
        records.append({"name": name, **record})
    write_tensors(path, tensors, {"surrogate": FORMAT, "outputs": records})


def load_operators(path: Path) -> dict[str, Surrogate]:
    """Reads what `save_operators` or `Surrogate.save` wrote: name of the output -> operator; 's' where there is one.

    Raises UserError for anything else.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file. Make one: wheatstone apply deeponet fit ...")
    fault = f"{path}: not a trained operator. Make one: wheatstone apply deeponet fit ..."
    try:
        tensors, record = read_tensors(path)
    except UserError:
        raise UserError(fault) from None
    if not isinstance(record.get("surrogate"), int):
        raise UserError(fault)
    if record["surrogate"] > FORMAT:
        raise UserError(f"{path}: format {record['surrogate']}, newer than {FORMAT}. Update wheatstone to read it.")
    try:
        if "outputs" not in record:
            return {"s": Surrogate.restored(tensors, record)}
        return {
            str(one["name"]): Surrogate.restored(_under(f"{index}/", tensors), one)
            for index, one in enumerate(record["outputs"])
        }
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, UserError) as error:
        raise UserError(f"{path}: damaged ({str(error).splitlines()[0][:120]}).") from None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def everywhere(
    network: OperatorNetwork, u: Float[Array, "function sensor"], y: Float[Array, "point dim"]
) -> Float[Array, "function point"]:
    """The network's output of every function at every place, in blocks that fit in memory."""
    places = torch.from_numpy(np.asarray(y, np.float32))
    parts = torch.from_numpy(np.asarray(u, np.float32)).split(max(1, BLOCK // max(1, len(y))))
    return torch.cat([network.everywhere(part, places) for part in parts]).numpy().astype(np.float64)
