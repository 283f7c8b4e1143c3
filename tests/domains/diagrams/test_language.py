"""Types, places of faults, routes and repeats: what the checker says of a term before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
import torch

from wheatstone.bench.errors import UserError
from wheatstone.domains.diagrams.architectures import conv, mlp, scaled_attention
from wheatstone.domains.diagrams.laws import LAWS, Equation, Source, gap
from wheatstone.domains.diagrams.network import TORCH, Network, compile_torch, execute, run_numpy
from wheatstone.domains.diagrams.notation import parse
from wheatstone.domains.diagrams.program import check, infer
from wheatstone.domains.diagrams.terms import (
    Elementwise,
    Index,
    Lift,
    Merge,
    Reduce,
    Rename,
    Repeat,
    Seq,
    Window,
    contract,
    linear,
    seq,
)
from wheatstone.domains.diagrams.types import DiagramError, obj

ATTENTION = """
size k = 16
heads : (y m, x m) -> (y k, x k, x k) =
  [id, copy] ; [linear("m -> k"), linear("m -> k"), linear("m -> k")]
attention : (y m, x m) -> (y k) =
  heads ; contract("y k, x k -> y x") ; scale(1/sqrt(k)) ; softmax[x] ; contract("y x, x k -> y k")
"""


def typed(text: str) -> str:
    notebook = parse(text, "a.ncd")
    main = notebook.main()
    program = check(main.block, main.domain, dict(notebook.sizes))
    return ", ".join(map(str, program.codomain))


def test_a_text_is_the_attention_that_torch_has() -> None:
    assert typed(ATTENTION) == "y k:16"
    text = 'a : (y k, x k, x k) -> (y k) = contract("y k, x k -> y x") ; scale(1/sqrt(k)) ; softmax[x] ; '
    main = parse(text + 'contract("y x, x k -> y k")').main()
    network = compile_torch(main.block, main.domain, {"y": 5, "x": 7, "k": 3}, torch.float64)
    q, k, v = (torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (5, 7, 7))
    found = network(q, k, v)
    assert isinstance(found, torch.Tensor)
    assert torch.allclose(found, torch.nn.functional.scaled_dot_product_attention(q, k, v), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("softmax[x]", "softmax[z]", "a.ncd:6:60: softmax[z]: there is no axis z in 'y x'"),
        ("y x, x k -> y k", "x y, x k -> y k", "a.ncd:6:73: contract: array 1 is 'y x'; takes (x y, x k)"),
        (
            "heads ; contract",
            "heds ; contract",
            "a.ncd:6:3: 'heds' is neither an operation nor a diagram. Did you mean 'heads'?",
        ),
        ("heads ; contract", "attention ; contract", "a.ncd:6:3: a cycle: 'attention' is made of itself"),
        ("1/sqrt(k)", "", "a.ncd:6:41: scale: takes one number"),
        ("-> (y k) =\n  heads", "-> (x k) =\n  heads", "a.ncd:5:1: attention: is declared as one that gives (x k:16)"),
        ("[id, copy]", "[id, copy", "a.ncd:5:1: expected ']'"),
        ("size k = 16", "size k = 0", "a.ncd:2:10: size k is 0"),
        ("size k", "size %", "a.ncd:2:6: '%' begins nothing"),
        ('"m -> k"), linear', '"m - k"), linear', "a.ncd:4:17: linear: takes a pattern"),
        ("heads : (y m, x m)", "heads : (y m, y y)", "a.ncd:3:15: an axis stands twice"),
        ("attention :", "heads :", "a.ncd:5:1: 'heads' is defined twice"),
        ("attention :", "softmax :", "a.ncd:5:1: 'softmax' is an operation"),
        ("sqrt(k)", "sqrt(__import__)", "a.ncd:6"),
    ],
)
def test_a_fault_has_its_place(old: str, new: str, message: str) -> None:
    assert old in ATTENTION
    text = ATTENTION.replace(old, new)
    if "__import__" in new:  # a name is a size and nothing more: nothing of a text is evaluated
        assert typed(text) == "y k:16"
        return
    with pytest.raises(
        UserError, match=message.replace("[", r"\[").replace("]", r"\]").replace("(", r"\(").replace(")", r"\)")
    ):
        typed(text)


def test_sizes_are_told_apart_though_names_agree() -> None:
    with pytest.raises(DiagramError, match="axis k has size 64 on the left, 16 on the right"):
        check(scaled_attention(), obj("y k:64, x k:16, x k:16"))
    assert str(infer(scaled_attention(), obj("y k, x k:d, x k:e")).codomain[0]) == "y k:e"


def test_a_stride_that_leaves_places_out_is_refused() -> None:
    with pytest.raises(DiagramError, match="stride 2 does not divide 5"):
        check(Window("x", "w", 2, 2), obj("x:7"))
    assert str(check(Window("x", "w", 2, 2, exact=False), obj("x:7")).codomain[0]) == "x:3 w:2"
    with pytest.raises(DiagramError, match="do not fit"):
        check(Window("x", "w", 9), obj("x:7"))


def test_a_size_stays_a_polynomial_until_it_is_known() -> None:
    program = check(conv("c", "d", "w", stride=1, padding=1, kernel=3), obj("n c y x"))
    assert str(program.codomain[0]) == "n d y x"
    with pytest.raises(DiagramError, match="has size d: give its number"):
        Network(program)


def test_repeats_have_weights_of_their_own() -> None:
    """`[block] * N` of the released notebook shares one set of weights N times."""
    loop = seq(linear("m -> o:4", "f", bias=False), Rename("o", "m"))
    once, thrice = check(loop, obj("n:2 m:4")), check(Repeat(loop, 3), obj("n:2 m:4"))
    assert len(thrice.learned) == 3 * len(once.learned)
    assert len(check(Repeat(loop, 3, shared=True), obj("n:2 m:4")).learned) == 1


def test_what_the_released_notebook_gets_wrong_is_refused() -> None:
    with pytest.raises(UserError, match="there is no axis c0"):  # the U-Net's second convolution
        typed('d : (c0 x) -> (c1 x) = linear("c0 -> c1") ; relu ; linear("c0 -> c1")')
    with pytest.raises(DiagramError, match="wx has size w: give its number"):  # a convolution without a kernel size
        compile_torch(conv("c", "d", "f", kernel="w", axes=("x",)), obj("c:2 x:9"), {"d": 3})
    with pytest.raises(UserError, match="is declared as one that gives"):  # forward returns nothing
        typed("d : (x) -> (x) = drop")
    network = compile_torch(mlp("a", "b", "c"), obj("n:2 a:3"), {"b": 4, "c": 5})
    assert sum(one.numel() for one in network.parameters()) == 3 * 4 + 4 + 4 * 5 + 5  # nothing is left unregistered


def test_lifting_is_vmap() -> None:
    term = scaled_attention()
    sizes = {"h": 2, "y": 3, "x": 5, "k": 4}
    inner = Network(check(term, obj("y k, x k, x k"), sizes), dtype=torch.float64)
    lifted = Network(check(Lift(term, "h"), obj("h y k, h x k, h x k"), sizes), dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(2, n, 4, dtype=torch.float64, generator=generator) for n in (3, 5, 5)]
    assert torch.allclose(lifted(*given), torch.vmap(inner)(*given), atol=1e-12)  # type: ignore[arg-type]
    with pytest.raises(DiagramError, match=r"lift h: array 3 of .* has no axis h"):
        check(Lift(term, "h"), obj("h y k, h x k, x k"))
    one_member = Lift(contract("y k, x k -> y x"), "h", (0,))
    assert str(check(one_member, obj("h y k, x k")).codomain[0]) == "h y x"


def test_a_lifted_body_cannot_touch_its_axis() -> None:
    with pytest.raises(DiagramError, match="there is no axis h"):
        check(Lift(Reduce("softmax", ("h",)), "h"), obj("h y"))


def test_merging_needs_neighbours_even_in_a_lift() -> None:
    program = check(Lift(Merge(("a", "b"), "m"), "c"), obj("a:2 c:3 b:5"))
    assert str(program.codomain[0]) == "c:3 m:10"
    given = torch.arange(30.0).reshape(2, 3, 5)
    (found,) = execute(program, TORCH, [given], {})
    assert torch.equal(found, given.permute(1, 0, 2).reshape(3, 10))


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_laws_hold_on_random_terms_and_a_wrong_one_does_not(law: object) -> None:
    made = [law.make(Source(np.random.default_rng([seed, 7]))) for seed in range(12)]  # type: ignore[attr-defined]
    assert all(gap(equation, 1) <= 1e-9 for equation in made)
    other = [Equation(one.left, Seq((one.right, _shifted(n))), one.domain) for one, n in _sized(made)]
    assert all(gap(equation, 1) > 1e-9 for equation in other)


def _sized(made: list[Equation]) -> list[tuple[Equation, int]]:
    return [(one, len(check(one.right, one.domain).codomain)) for one in made]


def _shifted(count: int) -> Seq:
    from wheatstone.domains.diagrams.terms import Par, identity

    shift = Elementwise("shift", 1, 1.0)
    return Seq((Par((shift, identity(count - 1))) if count > 1 else shift,))


def test_the_check_of_broadcasting_is_not_vacuous() -> None:
    """The notebook indexes before by one index and after by a stale one, and sees no difference."""
    given, f = obj("c:3 a:2"), Elementwise("tanh")
    right = Equation(Seq((Lift(f, "c"), Index("c", 1))), Seq((Index("c", 1), f)), given)
    stale = Equation(Seq((Lift(f, "c"), Index("c", 1))), Seq((Index("c", 2), f)), given)
    assert gap(right, 0) == 0
    assert gap(stale, 0) > 0.01


def test_numpy_and_torch_agree() -> None:
    program = check(conv("c", "d", "f", groups=2, stride=2, padding=1), obj("n:2 c:4 y:7 x:9"), {"c": 4, "d": 6})
    network = Network(program, dtype=torch.float64)
    given = torch.randn(2, 4, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = {name: network.value_of(name).detach().numpy() for name in program.weights}
    found = network(given)
    assert isinstance(found, torch.Tensor)
    assert np.abs(run_numpy(program, [given.numpy()], weights)[0] - found.detach().numpy()).max() < 1e-12


def test_inputs_of_another_shape_are_refused() -> None:
    network = compile_torch(mlp("a", "b"), obj("n:2 a:3"), {"b": 4})
    with pytest.raises(UserError, match=r"input 1 has shape \(3, 2\); the diagram takes 'n:2 a:3'"):
        network(torch.zeros(3, 2))
    with pytest.raises(UserError, match="takes 1 arrays, is given 2"):
        network(torch.zeros(2, 3), torch.zeros(2, 3))


def test_a_scale_may_be_an_expression_of_sizes() -> None:
    term = Elementwise("scale", 1, 1 / sympy.sqrt(sympy.Symbol("k", integer=True, positive=True)))
    (found,) = execute(check(term, obj("k"), {"k": 4}), TORCH, [torch.ones(4)], {})
    assert torch.equal(found, torch.full((4,), 0.5))
