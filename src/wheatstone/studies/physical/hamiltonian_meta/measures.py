"""What a trial measures."""

from __future__ import annotations

STEPS = (0, 1, 2, 5, 10, 20, 50, 100)
"""Steps of adaptation after which errors are written down."""
FEW_STEPS = 20
"""Steps at most on the small support sets."""
CLAIMED = (0, 5, 20, 100)
"""Those that become measures."""
MEASURES = {
    **{
        f"log_error_{step}": f"log10 of the relative error of the field on other points of the orbit after {step} "
        "steps on 50 points, median over tasks"
        for step in CLAIMED
    },
    **{f"few_log_error_{step}": f"the same after {step} steps on 10 points" for step in CLAIMED[:3]},
    **{
        f"other_log_error_{step}": f"the same after {step} steps on 50 points, on an orbit of another energy"
        for step in CLAIMED
    },
    "rate_5": "learning rate that the start chose for 5 steps on 50 points",
    "rate_100": "learning rate that it chose for 100 steps",
    "log_energy_drift": "log10 of the drift of the true energy along predicted orbits, last tenth of the time against "
    "the first, relative, after 100 steps on 50 points, median over tasks",
    "log_energy_rms": "log10 of the root mean square deviation of that energy from its start, relative",
    "energy_lost": "change of the true energy along true orbits over the time of a trajectory, relative, median: what "
    "friction takes",
    "trajectory_error": "|x - x'| / (|x| + |x'|) along those orbits over the time of a trajectory, median [0, 1]",
    "valid_time": "time until that error exceeds 0.2, median over tasks",
    "cka_last": "linear CKA of the last layer before and after 100 steps, mean over tasks [0, 1]",
    "log_train_loss": "log10 of the last training loss, averaged over the last 50 iterations; NaN without training",
    "gradient_points": "points at which a gradient was computed in training (a whole number)",
    "parameters": "parameters of the network (a whole number)",
    "accepted": "share of the drawn initial states of training that stayed bounded [0, 1]; NaN without training",
    "accepted_test": "the same of the system that is adapted to",
}


def empty() -> dict[str, float]:
    """NaN for every measure."""
    return dict.fromkeys(MEASURES, float("nan"))
