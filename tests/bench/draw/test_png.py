"""Every kind of picture is made, the same each time, without touching matplotlib's global state."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import pytest
from matplotlib.figure import Figure
from PIL import Image
from tests.bench.exhibit_cases import ARMS, BARS, CIRCUIT, DRAWN, HEATMAP, LINES, NOTE, TABLE

from wheatstone.bench.draw import png
from wheatstone.bench.draw.png import make_logarithmic
from wheatstone.bench.draw.theme import PALETTE
from wheatstone.bench.exhibit import Bars, BarSeries, Circuit, Exhibit, Heatmap, Line, Lines


def pixels(exhibit: Exhibit) -> Image.Image:
    data = png(exhibit, ARMS)
    assert data is not None
    return Image.open(io.BytesIO(data)).convert("RGB")


def colours(image: Image.Image) -> dict[str, int]:
    counted = image.getcolors(1 << 24) or []
    return {"#" + "".join(f"{part:02X}" for part in colour): count for count, colour in counted}


@pytest.mark.parametrize("exhibit", DRAWN, ids=lambda one: one.name)
def test_a_picture_is_drawn_the_same_each_time(exhibit: Exhibit) -> None:
    first = png(exhibit, ARMS)
    assert first == png(exhibit, ARMS)
    image = pixels(exhibit)
    assert image.width >= 400
    assert len(colours(image)) > 10


@pytest.mark.parametrize("exhibit", [TABLE, NOTE], ids=lambda one: one.name)
def test_text_has_no_picture(exhibit: Exhibit) -> None:
    assert png(exhibit, ARMS) is None


def test_arms_have_their_colours() -> None:
    found = colours(pixels(BARS))
    assert found[PALETTE[0]] > 500
    assert found[PALETTE[1]] > 500


def test_bars_of_equal_height_cover_equal_areas() -> None:
    bars = Bars("b", "t", "y", ["one", "two"], [BarSeries("augmented", [1, 1]), BarSeries("plain", [1, 1])], (0, 1))
    found = colours(pixels(bars))
    assert found[PALETTE[0]] == pytest.approx(found[PALETTE[1]], rel=0.02)


@pytest.mark.parametrize(
    "exhibit",
    [
        dataclasses.replace(LINES, lines=()),
        Lines("n", "t", "x", "y", [Line("gone", [1, 2], [float("nan")] * 2)], log_x=True, log_y=True),
        dataclasses.replace(BARS, groups=(), series=()),
        dataclasses.replace(HEATMAP, x=(), y=(), values=()),
        Circuit("c", "t", (), ()),
        Lines("n", "t", "x", "y", [Line("_hidden", [1], [1]), Line("東京 → 京都", [1], [2])]),
        Bars("n", "t", "y", [f"a group with a long name, number {n}" for n in range(60)], [BarSeries("s", [1] * 60)]),
        Heatmap("n", "t", "x", "y", [str(n) for n in range(300)], ["r"], [[0.5] * 300], "v", (-1, 1)),
    ],
    ids=["no lines", "nothing but gaps", "no bars", "no cells", "no nodes", "rare glyphs", "crowded", "wide"],
)
def test_awkward_exhibits_are_drawn_too(exhibit: Exhibit) -> None:
    assert pixels(exhibit).height > 50


@pytest.mark.parametrize("span", [(10, 40), (37, 470), (3, 9), (1, 3000)])
def test_a_logarithmic_axis_of_any_range_can_be_read(span: tuple[float, float]) -> None:
    axes = Figure().add_subplot()
    axes.plot(span, span)
    for axis, which in (("x", axes.xaxis), ("y", axes.yaxis)):
        make_logarithmic(axes, axis)
        low, high = which.get_view_interval()
        shown = [value for value in which.get_majorticklocs() if low <= value <= high]
        assert 3 <= len(shown) <= 8
        assert low <= span[0] < span[1] <= high


def test_a_circuit_is_as_large_as_it_needs_to_be() -> None:
    assert pixels(CIRCUIT).width > pixels(Circuit("c", "t", CIRCUIT.nodes[:1], ())).width


def test_drawing_leaves_pyplot_alone() -> None:
    # In a fresh interpreter: here, other tests may have imported it.
    code = (
        "import sys; from tests.bench.exhibit_cases import DRAWN; from wheatstone.bench.draw import png\n"
        "for one in DRAWN: png(one)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
