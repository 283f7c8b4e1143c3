"""Exhibits as pictures: `figure` (interactive, a plotly figure as plain JSON), `png`, and SVG.

All draw from the same exhibit with the same theme, so a colour, a dash and a number mean the same in each. Tables and
notes have no picture. `svg` draws a circuit, `diagram_svg` a diagram, that one also as a file that stands alone.
"""

from wheatstone.bench.draw.circuit import svg
from wheatstone.bench.draw.diagram import diagram_svg
from wheatstone.bench.draw.interactive import figure
from wheatstone.bench.draw.png import png

__all__ = ["diagram_svg", "figure", "png", "svg"]
