"""Exhibits as pictures: SVG for pages, notebooks and papers, PNG for everything else.

All draw from the same exhibit with the same theme, so a colour, a dash and a number mean the same in each. Tables and
notes have no picture. `standing_svg` is a plot with its title and legend, `drawings` are what a page shows of it, `svg`
draws a circuit, `diagram_svg` a diagram.
"""

from wheatstone.bench.draw.circuit import svg
from wheatstone.bench.draw.diagram import diagram_svg
from wheatstone.bench.draw.picture import Plot, standing_svg
from wheatstone.bench.draw.png import png

__all__ = ["Plot", "diagram_svg", "png", "standing_svg", "svg"]
