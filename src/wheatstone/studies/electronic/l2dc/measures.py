"""What a trial measures."""

from __future__ import annotations

MEASURES = {
    "best_reward": "worth of the best design after as many simulations as methods are compared at: below 0 while a "
    "constraint is missed (decades), 1 + decades of the target above the reference afterwards",
    "final_reward": "the same at the end of the trial",
    "reward_with_allowance": "best_reward minus 0.1, the allowance against which another method is held",
    "first_feasible": "simulations until the first design that meets every hard constraint; one beyond if none",
    "feasible_last": "share of the last 100 proposals that meet every hard constraint, 0 to 1",
    "feasible_share": "share of all proposals that meet every hard constraint, 0 to 1",
    "first_target": "the target's measure at the first feasible design, in um^2 or its own unit; NaN if none",
    "best_target": "the target's measure at the best design; NaN if none is feasible",
    "allowed_target": "70 % of first_target: what a fall of 30 % leaves",
    "failed_share": "share of simulations that gave no measures (failures count as proposals), 0 to 1",
    "corner_share": "share of corners and temperatures at which the best design meets every constraint, 0 to 1",
    "saturation_margin": "smallest distance of a transistor of the best design from leaving saturation, in volts",
    "hand_reward": "worth of the designer's own sizing, for comparison",
    "by_hand_gap": "largest relative difference between the best design's measures and those that `ngspice -b` prints "
    "for best.cir; NaN where the program is not installed",
    "simulations": "simulations of the trial, failed ones included",
}


def empty() -> dict[str, float]:
    """NaN for every measure."""
    return dict.fromkeys(MEASURES, float("nan"))
