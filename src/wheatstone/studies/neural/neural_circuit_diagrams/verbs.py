"""`wheatstone apply neural-circuit-diagrams VERB FILE`: diagrams of a user's own, and drawings of a user's own modules.

A diagram is a text file (`.ncd`), whose language `wheatstone.domains.diagrams.notation` describes. `draw` also takes
`module.py:Model`: that file is Python, and it is imported in this process, so draw only modules that you would run.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Le

from wheatstone.bench.errors import UserError, did_you_mean
from wheatstone.bench.files import write_atomically
from wheatstone.bench.shown import say
from wheatstone.domains.diagrams.notation import Definition, Notebook, read
from wheatstone.domains.diagrams.types import obj_text

if TYPE_CHECKING:
    from torch import nn

    from wheatstone.bench.exhibit import Diagram
    from wheatstone.domains.diagrams.program import Program

Detail = Annotated[int, Ge(0), Le(20)]
MODELS = (".bin", ".gguf")
"""Files that hold a language model."""
Width = Annotated[int, Ge(300), Le(6000)]


def check_file(diagram: Path) -> int:
    """Check every diagram of a file: its type, its weights, where it is wrong.

    Args:
        diagram: a text with diagrams, as attention.ncd.
    """
    from wheatstone.domains.diagrams.program import check

    notebook = read(diagram)
    for one in notebook.definitions.values():
        program = check(one.block, one.domain, dict(notebook.sizes))
        say(f"{one.name} : {obj_text(program.domain)} -> {obj_text(program.codomain)}")
        learned = ", ".join(f"{name} [{parameter.array}]" for name, parameter in program.learned.items())
        say(f"  {len(program.steps)} operations" + (f"; learned: {learned}" if learned else ""))
    return 0


def draw_file(
    source: str,
    *,
    out: Path | None = None,
    input: str = "1,3,32,32",
    whole_numbers: bool = False,
    name: str | None = None,
    detail: Detail | None = None,
    width: Width = 1100,
    sizes: str = "",
) -> int:
    """Draw a diagram, a torch module or a language model as SVG; a module's file is imported in this process.

    Args:
        source: a text with diagrams, as attention.ncd, or a Python file and a module of it, as model.py:Net. The file
            is run, as `import` does; Net is a class without arguments, a function that makes one, or a module. Or a
            language model: a Hugging Face folder, a .gguf file, a llama2.c .bin file.
        out: where the drawing goes; beside you, with the name of what is drawn, when not given.
        input: shape of the module's input, as 1,3,32,32; several with a semicolon between.
        whole_numbers: the input holds whole numbers, as tokens are.
        name: which diagram of the file; the last one when not given.
        detail: how many fences deep blocks are opened; as many as stay readable when not given.
        width: pixels after which the drawing goes on below.
        sizes: sizes of axes, as y=20,x=22.
    """
    from wheatstone.bench.draw import diagram_svg

    place, separator, wanted = source.rpartition(":")
    if separator and place.endswith(".py"):
        drawing, noted = _draw_module(Path(place), wanted, input, whole_numbers, detail, width)
    elif Path(source).is_dir() or Path(source).suffix in MODELS:
        drawing, noted = _draw_language_model(Path(source), detail, width), ()
    elif source.endswith(".py"):
        raise UserError(f"{source}: name a module of it, as {source}:Net")
    else:
        drawing, noted = _draw_diagram(Path(source), name, _sizes(sizes), detail, width), ()
    target = out or Path(f"{drawing.title.split()[0].strip(':').lower()}.svg")
    if target.suffix != ".svg":
        raise UserError(f"--out {target}: drawings are SVG, give it a name that ends in .svg")
    write_atomically(target, diagram_svg(drawing, alone=True).encode())
    for one in noted:
        say(f"not known, drawn as a box: {one}")
    say(f"{target}: {drawing.width:.0f} x {drawing.height:.0f} pixels")
    return 0


def compile_file(
    diagram: Path, *, name: str | None = None, out: Path | None = None, class_name: str = "Diagram", sizes: str = ""
) -> int:
    """Write a diagram as a torch module, a Python file of its own.

    Args:
        diagram: a text with diagrams, as attention.ncd.
        name: which diagram of the file; the last one when not given.
        out: where the code goes; printed when not given.
        class_name: what the module is called.
        sizes: sizes of axes, as m=128,k=16; those of learned arrays are needed where the file leaves them open.
    """
    from wheatstone.domains.diagrams.source import source

    notebook = read(diagram)
    one = notebook.main(name)
    text = source(one.block, one.domain, {**notebook.sizes, **_sizes(sizes)}, class_name)
    if out is None:
        print(text)
        return 0
    write_atomically(out, text.encode())
    say(f"{out}: the module {class_name}, {len(text.splitlines())} lines")
    return 0


def cost_file(diagram: Path, *, name: str | None = None, sizes: str = "") -> int:
    """What a diagram costs: work, learned numbers and memory as polynomials of the sizes.

    Args:
        diagram: a text with diagrams, as attention.ncd.
        name: which diagram of the file; the last one when not given.
        sizes: sizes of axes, as y=20,x=22; those left open stay letters.
    """
    from wheatstone.domains.diagrams.cost import cost

    one, program = _program(diagram, name, sizes)
    found = cost(program)
    say(f"{one.name} : {obj_text(program.domain)} -> {obj_text(program.codomain)}")
    rows = {
        "work (multiply-add: 2)": found.flops,
        "elementwise operations": found.elementwise,
        "learned numbers": found.weights,
        "numbers in all arrays made": found.activations,
        "kept for the backward pass": found.saved,
        "most alive at once": "open, give every size" if found.peak is None else found.peak,
    }
    for title, value in rows.items():
        say(f"  {title:<28} {str(value).replace('**', '^')}")
    return 0


def backward_file(diagram: Path, *, name: str | None = None, out: Path | None = None, sizes: str = "") -> int:
    """The derivative of a diagram, drawn as a diagram.

    Args:
        diagram: a text with diagrams, as attention.ncd.
        name: which diagram of the file; the last one when not given.
        out: where the drawing goes; beside you when not given.
        sizes: sizes of axes, as y=20,x=22.
    """
    from wheatstone.bench.draw import diagram_svg
    from wheatstone.domains.diagrams.backward import backward
    from wheatstone.domains.diagrams.drawing import draw_program

    one, program = _program(diagram, name, sizes)
    found = backward(program)
    drawing = draw_program(found.program, title=f"{one.name}: its derivative")
    target = out or Path(f"{one.name}-backward.svg")
    write_atomically(target, diagram_svg(drawing, alone=True).encode())
    say(f"{one.name}: {len(program.steps)} operations forward, {len(found.program.steps)} with the way back")
    say(f"  gradients of: {', '.join([f'input {at + 1}' for at in found.inputs] + list(found.weights))}")
    say(f"{target}: {drawing.width:.0f} x {drawing.height:.0f} pixels")
    return 0


def rewrite_file(diagram: Path, *, name: str | None = None, sizes: str = "") -> int:
    """Look for a cheaper order of a diagram's linear operations, with the same value.

    Args:
        diagram: a text with diagrams, as attention.ncd.
        name: which diagram of the file; the last one when not given.
        sizes: sizes of axes, as y=1024,x=1024,k=64; every size is needed.
    """
    from wheatstone.domains.diagrams.rewrite import rewrite
    from wheatstone.domains.diagrams.terms import Contract

    one, program = _program(diagram, name, sizes)
    try:
        found = rewrite(program)
    except ValueError as fault:
        raise UserError(f"{one.name}: {fault}. An order is cheapest at some sizes: --sizes y=1024,x=1024") from None
    say(f"{one.name}: {found.flops_before:,} operations as written, {found.flops_after:,} in the order found")
    say(f"  {found.gain:.2f} times less work:" if found.gain > 1 else "  nothing to gain:")
    for step in found.after.steps:
        if isinstance(step.leaf, Contract):
            sources = ", ".join(" ".join(names) for names in step.leaf.sources)
            say(f"  {sources} -> {' '.join(step.leaf.target)}")
    return 0


def _program(diagram: Path, name: str | None, sizes: str) -> tuple[Definition, Program]:
    from wheatstone.domains.diagrams.program import check

    notebook = read(diagram)
    one = notebook.main(name)
    return one, check(one.block, one.domain, {**notebook.sizes, **_sizes(sizes)})


def _draw_diagram(path: Path, name: str | None, sizes: Mapping[str, int], detail: int | None, width: int) -> Diagram:
    from wheatstone.domains.diagrams.drawing import draw

    notebook: Notebook = read(path)
    one = notebook.main(name)
    given: dict[str, Any] = {**notebook.sizes, **sizes}
    return draw(one.block, one.domain, given, title=one.name, detail=detail, width=width)


def _draw_language_model(path: Path, detail: int | None, width: int) -> Diagram:
    from wheatstone.domains.diagrams.decoders import decoder_diagram
    from wheatstone.learn.models.loading import load

    cfg = load(path).model.cfg
    title = f"{path.stem}: {cfg.n_layer} blocks, d_model {cfg.d_model}"
    return decoder_diagram(cfg, title=title, detail=detail, width=width)


def _draw_module(
    path: Path, wanted: str, shapes: str, is_whole: bool, detail: int | None, width: int
) -> tuple[Diagram, tuple[str, ...]]:
    import torch

    from wheatstone.domains.diagrams.drawing import draw_program
    from wheatstone.domains.diagrams.from_torch import from_torch

    module = _module(path, wanted)
    dtype = torch.long if is_whole else torch.float32
    inputs = [torch.zeros(_shape(shape), dtype=dtype) for shape in shapes.split(";")]
    traced = from_torch(module, *inputs)
    return draw_program(traced.program, title=wanted, detail=detail, width=width), traced.opaque


def _module(path: Path, wanted: str) -> nn.Module:
    """The module `wanted` of a Python file, which is imported."""
    from torch import nn

    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"drawn_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(loaded)
    except Exception as fault:  # whatever the user's own file raises is told as theirs
        raise UserError(f"{path}: cannot be imported: {type(fault).__name__}: {fault}") from None
    finally:
        sys.path.pop(0)
    if not hasattr(loaded, wanted):
        classes = {name: value for name, value in vars(loaded).items() if isinstance(value, type)}
        known = [name for name, value in classes.items() if issubclass(value, nn.Module)]
        raise UserError(f"{path}: has no '{wanted}'.{did_you_mean(wanted, known)} Modules there: {', '.join(known)}")
    made = getattr(loaded, wanted)
    if not isinstance(made, nn.Module):
        try:
            made = made()
        except Exception as fault:
            way_out = "Write a function that makes it, and name that"
            raise UserError(f"{path}:{wanted}: cannot be made without arguments: {fault}. {way_out}") from None
    if not isinstance(made, nn.Module):
        raise UserError(f"{path}:{wanted}: is a {type(made).__name__}, not a torch module")
    return made


def _shape(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and 0 < int(word) <= 100_000 for word in words):
        raise UserError(f"--input '{text}': a shape is whole numbers with commas between, as 1,3,32,32")
    return tuple(map(int, words))


def _sizes(text: str) -> dict[str, int]:
    """'y=20,x=22' as sizes."""
    made: dict[str, int] = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, _, value = part.partition("=")
        if not name.strip() or not value.strip().isdigit() or int(value) < 1:
            raise UserError(f"--sizes '{part}': write name=size, as y=20,x=22")
        made[name.strip()] = int(value)
    return made
