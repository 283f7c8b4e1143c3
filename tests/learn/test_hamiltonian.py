"""The graph network of the energy: its field is symplectic, particles are exchangeable, padding says nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from wheatstone.learn.models.hamiltonian import GraphConfig, GraphField, GraphHamiltonian

CFG = GraphConfig(width=12, layers=2)


def network(kind: type[GraphHamiltonian] | type[GraphField] = GraphHamiltonian) -> GraphHamiltonian | GraphField:
    return kind(CFG, torch.Generator().manual_seed(0)).double()


def states(particles: int, batch: int = 5) -> Tensor:
    return torch.randn(batch, particles, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def jacobian(field: GraphHamiltonian | GraphField, state: Tensor) -> Tensor:
    n = state.numel()
    ones = torch.ones(len(state), dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(lambda x: field(x, ones), state)
    # From node-wise (q, p) to all positions before all momenta.
    order = torch.arange(n).reshape(len(state), 2, 2).transpose(0, 1).reshape(-1)
    return slope.reshape(n, n)[order][:, order]


def test_the_field_is_the_symplectic_gradient_of_the_energy() -> None:
    net = network()
    assert isinstance(net, GraphHamiltonian)
    x = states(3).requires_grad_()
    ones = torch.ones(3, dtype=torch.float64)
    (slope,) = torch.autograd.grad(net.energy(x, ones).sum(), x)
    found = net(x, ones)
    assert torch.allclose(found[..., :2], slope[..., 2:], atol=1e-12)
    assert torch.allclose(found[..., 2:], -slope[..., :2], atol=1e-12)
    assert net.energy(x, ones).std() > 0


def test_its_jacobian_is_hamiltonian_and_that_of_a_plain_field_is_not() -> None:
    """Omega J is symmetric and the divergence vanishes, to rounding."""
    omega = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(4)).double()
    for kind, is_hamiltonian in ((GraphHamiltonian, True), (GraphField, False)):
        j = jacobian(network(kind), states(2)[0])
        turned = omega @ j
        assert (float((turned - turned.T).abs().max()) < 1e-12) is is_hamiltonian
        assert (abs(float(j.trace())) < 1e-12) is is_hamiltonian


def test_a_context_starts_as_nothing_and_then_bends_the_field() -> None:
    cfg, x = GraphConfig(width=12, layers=2, context=3), states(3)
    ones = torch.ones(3, dtype=torch.float64)
    for kind in (GraphHamiltonian, GraphField):
        net = kind(cfg, torch.Generator().manual_seed(0)).double()
        assert torch.equal(net(x, ones), network(kind)(x, ones))
        with torch.no_grad():
            net.context.copy_(torch.tensor([0.4, -0.7, 1.1]))
        assert not torch.allclose(net(x, ones), network(kind)(x, ones), atol=1e-3)
        assert {"context", "modulate.weight"} <= net.used(1)
    net = GraphHamiltonian(cfg, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        net.context.copy_(torch.tensor([0.4, -0.7, 1.1]))
    x = x.requires_grad_()
    (slope,) = torch.autograd.grad(net.energy(x, ones).sum(), x)
    assert torch.allclose(net(x, ones), torch.cat([slope[..., 2:], -slope[..., :2]], -1), atol=1e-12)


def test_particles_are_exchangeable() -> None:
    for kind in (GraphHamiltonian, GraphField):
        net, x, order = network(kind), states(3), [2, 0, 1]
        ones = torch.ones(3, dtype=torch.float64)
        assert torch.allclose(net(x[:, order], ones), net(x, ones)[:, order], atol=1e-12)


def test_absent_particles_change_nothing() -> None:
    net, x = network(), states(2)
    filled = torch.cat([x, states(1) * 100], 1)
    present = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    alone = net(x, torch.ones(2, dtype=torch.float64))
    assert torch.allclose(net(filled, present)[:, :2], alone, atol=1e-12)


def test_particles_feel_each_other() -> None:
    net, x = network(), states(2, 1)
    moved = x.clone()
    moved[0, 1] += 0.5
    ones = torch.ones(2, dtype=torch.float64)
    assert not torch.allclose(net(x, ones)[0, 0], net(moved, ones)[0, 0], atol=1e-4)


def test_activations_are_those_of_the_readout() -> None:
    net, x = network(), states(1)
    layers = net.activations(x, torch.ones(1, dtype=torch.float64))
    assert [tuple(layer.shape) for layer in layers] == [(5, 1, 12)] * 3
    assert torch.equal(net.readout(layers[-1]), net.nodes(x, torch.ones(1, dtype=torch.float64)))
