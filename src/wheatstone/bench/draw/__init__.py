"""Exhibits as pictures: `figure` (interactive, a plotly figure as plain JSON), `png` and, for circuits, `svg`.

All three draw from the same exhibit with the same theme, so a colour, a dash and a number mean the same in each. Tables
and notes have no picture.
"""

from wheatstone.bench.draw.circuit import svg
from wheatstone.bench.draw.interactive import figure
from wheatstone.bench.draw.png import png

__all__ = ["figure", "png", "svg"]
