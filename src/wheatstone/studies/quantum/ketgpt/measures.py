"""What a trial measures."""

from __future__ import annotations

MEASURES = {
    "loads": "circuits that qiskit reads back from their OpenQASM text, gate for gate, of all that were made [0, 1]",
    "loads_free": "the same of circuits drawn without the grammar [0, 1]; NaN without a network",
    "nats_files": "loss of a gate, operand or angle in unseen files of known families (above 0); NaN without a model",
    "nats_families": "the same in families that training did not see (above 0)",
    "nats_ratio": "nats_files over that of word frequencies alone (above 0)",
    "nats_ratio_families": "nats_families over that of word frequencies alone (above 0)",
    "unknown": "tokens of unseen files that the vocabulary does not have [0, 1]",
    "auc": "area under the ROC curve of a judge trained on real against these circuits, on unseen families [0, 1]",
    "auc_files": "the same, but only the nearest circuits are kept from its training, not whole families [0, 1]",
    "auc_header": "the same of a judge that reads the header alone [0, 1]; 0.5 is what it should be",
    "auc_start": "the same of a judge that reads 46 gates alone [0, 1]; NaN but for spliced circuits",
    "judged_real": "share that the published judge, which has learnt real against uniformly random, calls real [0, 1]",
    "judge_accuracy": "held-out real and uniformly random circuits that the published judge tells apart [0, 1]",
    "structure": "distance of 14 structural measures from real ones, in their standard deviations (mean, above 0)",
    "structure_ratio": "structure over that of frequency-matched random circuits (above 0)",
    "swap_distance": "distance of the routing overheads on line, grid and heavy hexagon (mean, above 0)",
    "identities": "compiled circuits of which the optimiser leaves nothing [0, 1]",
    "copied_words": "runs of 20 gates, operands and angles that a training circuit has too [0, 1]",
    "copied": "circuits that are a training circuit up to renumbering, ghz and wstate apart [0, 1]",
    "copied_fixed": "circuits that are a training circuit of ghz or wstate, which their size fixes [0, 1]",
    "nearest": "edits to the nearest training circuit, over the gates of the longer one (mean, 0 to 1)",
    "gates": "gates of a circuit, mean",
}


def empty() -> dict[str, float]:
    """NaN for every measure."""
    return dict.fromkeys(MEASURES, float("nan"))
