"""DeepONet: its formula by hand, stacked and hard variants, members of an ensemble against members alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from wheatstone.learn.models.grid_operators import PERIOD, FourierLayers
from wheatstone.learn.models.operator_network import (
    GRID,
    Ensemble,
    OperatorNetwork,
    OperatorNetworkConfig,
    Reduction,
    Scaling,
)

CFG = OperatorNetworkConfig(sensors=5, dim=1, width=4, depth=2)
U, Y = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), torch.linspace(0, 1, 6)[:, None]


def network(seed: int = 0, scaling: Scaling | None = None, **changes: object) -> OperatorNetwork:
    cfg = dataclasses.replace(CFG, **changes)
    return OperatorNetwork(cfg, torch.Generator().manual_seed(seed), scaling)


def test_it_is_the_dot_product_of_branch_and_trunk() -> None:
    net = network()
    b = torch.relu(U @ net.branch.weights[0].T) @ net.branch.weights[1].T
    t = torch.relu(torch.relu(Y @ net.trunk.weights[0].T) @ net.trunk.weights[1].T)
    assert torch.allclose(net(U, Y), (b * t).sum(-1), atol=1e-6)
    assert net.parameter_count() == (5 * 4 + 4) + (4 * 4 + 4) + (1 * 4 + 4) + (4 * 4 + 4) + 1


@pytest.mark.parametrize(
    "changes", [{}, {"kind": "fnn"}, {"stacked": True}, {"stacked": True, "depth": 1}, {"stacked": True, "depth": 3},
                {"fourier": 3}, {"hard": "start"}, {"bias": False}, {"kind": "fno"},
                {"kind": "lstm", "hard": "start"}], ids=str)  # fmt: skip
def test_rows_and_everywhere_agree(changes) -> None:
    net = network(**changes)
    whole = net.everywhere(U, Y)
    assert whole.shape == (6, 6)
    assert torch.allclose(whole.diagonal(), net(U, Y), atol=1e-6)


def test_stacked_is_one_branch_network_for_each_product() -> None:
    net = network(stacked=True)
    for k in range(4):
        hidden = torch.relu(U @ net.branch.weights[0][k] + net.branch.biases[0][k])
        alone = hidden @ net.branch.weights[1][k] + net.branch.biases[1][k]
        assert torch.allclose(net.coefficients(U)[:, k], alone[:, 0], atol=1e-6)


def test_hard_conditions_are_exact() -> None:
    net = network(hard="start", scaling=Scaling((2.0,), (4.0,)))
    assert net(U[:1], torch.tensor([[2.0]])).item() == 0.0
    flat = network(dim=2, hard="edges")
    edges = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 0.0]])
    assert torch.equal(flat.everywhere(U, edges), torch.zeros(6, 3))
    assert flat.everywhere(U, torch.tensor([[0.5, 0.5]])).abs().min() > 0


def test_scaling_changes_units_and_nothing_else() -> None:
    plain = network()
    scaled = network(scaling=Scaling((0.0,), (10.0,), 1.0, 2.0, 5.0, 3.0))
    scaled.load_state_dict(scaled.state_dict() | dict(plain.named_parameters()))
    assert torch.allclose(scaled(2 * U + 1, 10 * Y), 3 * plain(U, Y) + 5, atol=1e-5)


def test_a_fixed_basis_starts_from_the_linear_map() -> None:
    place = torch.linspace(0, 1, GRID)
    basis = torch.stack([place, place.square(), torch.ones(GRID)])
    ridge = torch.zeros(6, 2)
    ridge[0, 0], ridge[-1, 1] = 2.0, 3.0  # coefficients 2 u_1 and 3
    reduction = Reduction(basis, ridge, torch.zeros(2))
    net = OperatorNetwork(dataclasses.replace(CFG, modes=2), torch.Generator().manual_seed(0), reduction=reduction)
    expected = 2 * U[:, :1] * Y[:, 0] + 3 * Y[:, 0] ** 2 + 1
    assert torch.allclose(net.everywhere(U, Y), expected, atol=1e-4)
    assert torch.allclose(net(U, Y), expected.diagonal(), atol=1e-4)
    ensemble = Ensemble([net, net])
    assert torch.allclose(ensemble.everywhere(U, Y)[1], expected, atol=1e-4)
    moved = OperatorNetwork(net.cfg, torch.Generator().manual_seed(0), reduction=dataclasses.replace(
        reduction, left=torch.ones(2)))  # fmt: skip
    assert not torch.allclose(moved.everywhere(U, Y), expected, atol=1e-2)


def test_members_of_an_ensemble_train_as_they_would_alone() -> None:
    target = torch.randn(6, generator=torch.Generator().manual_seed(2))
    ensemble = Ensemble([network(0), network(1)])
    alone = [network(0), network(1)]

    def step(net: torch.nn.Module, adam: torch.optim.Optimizer) -> None:
        adam.zero_grad()
        error = (net(U, Y) - target).square()
        (error.mean(1).sum() if error.ndim == 2 else error.mean()).backward()
        adam.step()

    adams = [torch.optim.Adam(net.parameters(), 0.01) for net in (ensemble, *alone)]
    for _ in range(5):
        for net, adam in zip((ensemble, *alone), adams, strict=True):
            step(net, adam)
    whole = ensemble.everywhere(U, Y)
    assert torch.allclose(whole, torch.stack([one.everywhere(U, Y) for one in ensemble.members()]), atol=1e-6)
    for member, single in zip(ensemble.members(), alone, strict=True):
        assert torch.allclose(member(U, Y), single(U, Y), atol=1e-5)


def test_weights_are_drawn_from_the_generator_alone() -> None:
    assert torch.equal(network(3)(U, Y), network(3)(U, Y))
    assert not torch.equal(network(3)(U, Y), network(4)(U, Y))


GRIDDED = ("fno", "lstm")


@pytest.mark.parametrize("kind", GRIDDED)
def test_networks_on_a_grid_answer_there_and_are_linear_between(kind) -> None:
    net = network(kind=kind)
    grid = net.grid(U)
    assert torch.allclose(net.everywhere(U, torch.linspace(0, 1, 5)[:, None]), grid, atol=1e-6)
    between = net.everywhere(U, torch.tensor([[0.125]]))
    assert torch.allclose(between[:, 0], (grid[:, 0] + grid[:, 1]) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="places of one coordinate, not 2"):
        network(kind=kind, dim=2)


def test_a_recurrent_network_knows_nothing_of_later_inputs_and_fourier_layers_do() -> None:
    later = U.clone()
    later[:, 3:] += 1
    for kind, knows in (("lstm", False), ("fno", True)):
        net = network(kind=kind)
        change = (net.grid(later) - net.grid(U)).detach().abs()
        assert (change[:, :3].max() > 1e-4) == knows
        assert change[:, 3:].max() > 1e-4


def test_a_fourier_layer_is_a_filter_of_the_transform() -> None:
    """With one frequency kept and unit weights the layer leaves the constant: the mean over the grid."""
    layers = FourierLayers(8, 3, 1, 1, "gelu", torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(2))
    weight = torch.stack([torch.eye(3), torch.zeros(3, 3)])[..., None]
    assert torch.allclose(layers._over_all_places(x, weight), x.mean(-1, keepdim=True).expand_as(x), atol=1e-6)
    # With every frequency of a period of 40 places, it is numpy's transform of the function padded with zeros.
    places, kept = 32, 7
    layers = FourierLayers(places, 1, 1, kept, "gelu", torch.Generator().manual_seed(0))
    x = torch.randn(1, 1, places, generator=torch.Generator().manual_seed(3))
    phase = np.outer(np.linspace(0, 1, places), np.arange(kept)) * 2 * np.pi / PERIOD
    spectrum = (x[0, 0].numpy() * np.exp(-1j * phase).T).sum(1) / places
    factor = np.random.default_rng(0).standard_normal((2, kept))
    wanted = spectrum * (factor[0] + 1j * factor[1])
    expected = (wanted * np.exp(1j * phase)).real @ np.where(np.arange(kept) == 0, 1, 2)
    weight = torch.from_numpy(factor).float()[:, None, None, :]
    assert torch.allclose(layers._over_all_places(x, weight)[0, 0], torch.from_numpy(expected).float(), atol=1e-5)


@pytest.mark.parametrize("kind", GRIDDED)
def test_networks_on_a_grid_learn_to_clip_and_to_integrate(kind) -> None:
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(64, 16, generator=draw).cumsum(-1) / 4
    s = (u.cumsum(-1) / 16).clamp(-0.3, 0.3)
    net = network(kind=kind, sensors=16, width=16, activation="gelu", frequencies=8)
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    places = torch.linspace(0, 1, 16)[:, None]
    for _ in range(120):
        loss = (net.everywhere(u, places) - s).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.02 * s.var().item()
