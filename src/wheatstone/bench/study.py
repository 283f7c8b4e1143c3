"""The nouns of the bench: card, arm, claim, preset, study.

A study is one paper's system. It declares what it measures, which variants (arms) it trains side by side, and which
contrasts between two arms (claims) would prove the paper wrong. Everything here is plain data: a claim cannot hold
code, so what decides a verdict is the same for every study and lives in one place (`verdict.py`).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from wheatstone.bench.exhibit import Exhibit
    from wheatstone.bench.run import Run, Trial

C = TypeVar("C")
JsonScalar = str | int | float | bool | None
Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Card:
    """What `wheatstone list` prints. A study's `CARD` is a literal: it is read from the syntax tree, without import."""

    name: str
    """Kebab-case, unique in the registry."""
    family: Literal["neural", "electronic", "quantum", "logical", "physical"]
    title: str
    source: str
    """Authors' short form, venue, year and identifier, as 'Wang et al., NeurIPS 2024, arXiv:2405.15071'."""
    claim: str
    """The headline claim in one line."""
    presets: tuple[str, ...]


@dataclass(frozen=True)
class Arm:
    """A named difference from the preset's config. Arms share data and seed, so their measures are paired."""

    name: str
    """Says what the arm is (`shuffled_labels`), never its rank (`baseline2`)."""
    about: str
    changes: Mapping[str, JsonScalar] = field(default_factory=dict)
    """Config field -> value in this arm; the empty mapping is the preset's config itself."""


@dataclass(frozen=True)
class Require:
    """What must be true of an arm before a contrast with it means anything (a control that memorised its data, say)."""

    arm: str
    measure: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Claim:
    """A contrast: `measure` of `treatment` is `direction` than that of `control` by more than `margin`.

    The numbers are typed in with their source and never computed from our own results.
    """

    name: str
    text: str
    """The claim as a sentence."""
    measure: str
    treatment: str
    control: str
    direction: Direction
    margin: float
    """Smallest difference that counts, in the unit of the measure; not negative."""
    source: str
    """Table, figure or section that makes the claim."""
    bound: float | None = None
    """Absolute bound on the treatment's measure: at least (`higher`) or at most (`lower`) this."""
    control_bound: float | None = None
    """Absolute bound on the control's measure: at most (`higher`) or at least (`lower`) this."""
    control_measure: str | None = None
    """The control's measure where it is not the treatment's (ID against OOD accuracy of one model, say)."""
    paper: float | None = None
    """The paper's own value of the treatment's measure."""
    requires: tuple[Require, ...] = ()
    """Unmet requirements make the verdict `inconclusive`, whatever the difference."""

    @property
    def measure_of_control(self) -> str:
        return self.control_measure or self.measure

    def swapped(self) -> Claim:
        """The same contrast with treatment and control exchanged: it must fail wherever this one holds."""
        return dataclasses.replace(
            self,
            treatment=self.control,
            control=self.treatment,
            measure=self.measure_of_control,
            control_measure=self.measure,
        )

    def faults(self) -> list[str]:
        """Why this is not a contrast that can fail; empty for a sound claim."""
        found = []
        if (self.treatment, self.measure) == (self.control, self.measure_of_control):
            found.append(f"claim '{self.name}': treatment and control are the same arm and measure")
        if self.margin < 0:
            found.append(f"claim '{self.name}': margin is {self.margin}, must not be negative")
        return found


@dataclass(frozen=True)
class Preset(Generic[C]):
    """A named size of a study."""

    config: C
    seeds: int = 3
    arms: tuple[str, ...] | None = None
    """The arms that this size runs; None is all of them."""
    about: str = ""
    """What it is for and what it costs, with the machine that was measured."""


@dataclass(frozen=True)
class Verb:
    """One way of applying a study's method to a user's own file: a typed function, whose arguments are the options."""

    name: str
    function: Callable[..., int | None]
    broken_input: tuple[str, ...] = ()
    """Command-line arguments that name a broken input (relative to the repository's `tests/data/<study>/`); the
    contract runs the verb on them and expects one clear message and exit code 2."""

    @property
    def about(self) -> str:
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


@dataclass(frozen=True)
class Together(Generic[C]):
    """How several trials of one run are trained at once, as one batched computation."""

    run: Callable[[Sequence[Trial[C]]], Sequence[Mapping[str, float]]]
    """As the study's `run`, for each trial; a trial ends with what it would measure alone, up to rounding."""
    gain: Callable[[Sequence[Trial[C]], int], float]
    """Measured on this machine: steps a second of these trials at once, over those of so many workers (the second
    argument) with one trial each. Leaves no trace in the trials."""


@dataclass(frozen=True)
class Study(Generic[C]):
    """One paper's system: see DESIGN in the docs and `contract.py` for what every study must satisfy."""

    card: Card
    doc: str
    """The module's docstring: source, idea, method, where it differs, what would falsify it."""
    config: type[C]
    """A frozen dataclass of scalars; bounds sit in the field types (`Annotated[float, Gt(0)]`)."""
    presets: Mapping[str, Preset[C]]
    measures: Mapping[str, str]
    """Every measure that a trial returns -> what it means, with its unit and range."""
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...]
    run: Callable[[Trial[C]], Mapping[str, float]]
    """Trains and measures one arm with one seed; NaN for a measure that does not apply to the arm."""
    together: Together[C] | None = None
    """Trains several trials at once, where that is possible."""
    exhibits: Callable[[Run], Sequence[Exhibit]] | None = None
    """Figures and tables of a finished run: a pure function of what the run directory holds."""
    verbs: tuple[Verb, ...] = ()

    @property
    def name(self) -> str:
        return self.card.name

    def arm(self, name: str) -> Arm:
        """The arm of that name.

        Raises KeyError for a name that the study does not have.
        """
        return {arm.name: arm for arm in self.arms}[name]

    def arm_config(self, base: C, arm: str) -> C:
        """The config of `arm`: `base` with the arm's changes."""
        changes: dict[str, Any] = dict(self.arm(arm).changes)
        return dataclasses.replace(base, **changes)  # pyright: ignore[reportArgumentType]
