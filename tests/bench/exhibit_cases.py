"""One exhibit of every kind, with labels and values that break careless code."""

from __future__ import annotations

import math

from wheatstone.bench.diagram import DiagramBox, DiagramStroke, DiagramText
from wheatstone.bench.exhibit import (
    Bars,
    BarSeries,
    Circuit,
    CircuitEdge,
    CircuitNode,
    Diagram,
    Exhibit,
    Heatmap,
    Line,
    Lines,
    Mark,
    Note,
    Scatter,
    ScatterSeries,
    Table,
)

HOSTILE = "<script>alert(1)</script>"
"""What somebody may call an entity of a knowledge graph."""
DOLLARS = "cost $x_1$ & <b>$y$</b>"
ARMS = ("augmented", "plain", "inconsistent")

LINES = Lines(
    "accuracy",
    f"Accuracy of {HOSTILE}",
    "optimiser steps",
    "accuracy [0, 1]",
    [
        Line(HOSTILE, [1, 10, 100], [0.1, math.nan, 0.9], [0.0, math.nan, 0.8], [0.2, math.nan, 1.0]),
        Line(DOLLARS, [1, 10, 100], [0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.2, 0.3, 0.4], arm="plain"),
    ],
    log_x=True,
    y_range=(0, 1),
    caption=f"Band of {HOSTILE}",
    marks=(Mark("y", 0.9, HOSTILE), Mark("x", 10, "memorised")),
)
BARS = Bars(
    "relations",
    "Accuracy per relation",
    "accuracy [0, 1]",
    [HOSTILE, "capital", "capital"],
    [
        BarSeries("augmented", [0.9, 0.8, math.nan], [0.8, 0.7, math.nan], [0.95, 0.9, math.nan]),
        BarSeries("plain", [0.4, 0.3, 0.2]),
    ],
    y_range=(0, 1),
)
HEATMAP = Heatmap(
    "trace",
    "Causal tracing",
    "position",
    "layer",
    ["Paris", "Paris", HOSTILE],
    ["layer 0", "layer 1"],
    [[0.0, 0.5, math.nan], [1.0, 0.25, 0.125]],
    "share changed",
)
SCATTER = Scatter(
    "phi",
    "Accuracy against phi",
    "phi",
    "accuracy",
    [ScatterSeries("augmented", [0.5, 3.6], [0.1, 0.9], [HOSTILE, "capital"])],
    log_x=True,
    marks=(Mark("x", 3.6, "threshold"),),
)
TABLE = Table("table", "phi per relation", ["relation", "phi", "chains"], [[HOSTILE, 3.6, 12], ["capital", None, 7]])
CIRCUIT = Circuit(
    "circuit",
    f"Where {HOSTILE} is computed",
    [
        CircuitNode("head", HOSTILE, 0, 0),
        CircuitNode("relation", "country", 1, 0, 0.3),
        CircuitNode("bridge", "bridge: France", 1, 1, 1.0),
        CircuitNode("answer", "Euro", 1, 2, 0.6),
    ],
    [
        CircuitEdge("head", "bridge", 0.9, "0.90"),
        CircuitEdge("relation", "answer", -0.4, "−0.40"),
        CircuitEdge("head", "relation", 0.2),
        CircuitEdge("bridge", "answer", 0.8),
    ],
    columns=("head", "relation 1"),
    rows=("embedding", "layer 1", "output"),
)
DIAGRAM = Diagram(
    "model",
    f"The network of {HOSTILE}",
    640,
    120,
    [DiagramStroke((10, 60, 100, 60)), DiagramStroke((180, 60, 300, 90), curved=True, dashed=True, tone="line")],
    [
        DiagramBox(100, 40, 80, 40, "learned", stroke=2.4, about=HOSTILE),
        DiagramBox(5, 5, 440, 110, "muted", None, dashed=True),
    ],
    [DiagramStroke((100, 70, 180, 70), width=0.8)],
    [DiagramText(140, 60, HOSTILE), DiagramText(20, 50, DOLLARS, "muted", 9, "start", vertical=True)],
    caption="Bold: learned.",
)
NOTE = Note("note", "How to read this", f"First {HOSTILE}.\n\nSecond.")

EVERY_KIND: tuple[Exhibit, ...] = (LINES, BARS, HEATMAP, SCATTER, TABLE, CIRCUIT, DIAGRAM, NOTE)
DRAWN: tuple[Exhibit, ...] = (LINES, BARS, HEATMAP, SCATTER, CIRCUIT, DIAGRAM)
