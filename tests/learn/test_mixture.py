"""Mixtures of experts against the dense layer that one must equal, routing in closed form, and what they can learn."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from wheatstone.interp.patching import patched, patched_resid_by_hooks, states, trace
from wheatstone.learn.models.mixture import (
    Mixture,
    MixtureBlock,
    MixtureConfig,
    Router,
    imbalance,
    routing_site,
    top_weights,
)
from wheatstone.learn.models.transformer import Transformer, TransformerConfig
from wheatstone.learn.optimisers import OptimiserConfig
from wheatstone.learn.sequences import padded
from wheatstone.learn.stack import Stack
from wheatstone.learn.training import FitConfig, Training, accuracy, evaluation_steps, fit, shape

N_TOKEN = 12
CFG = MixtureConfig(vocab=N_TOKEN, context=3, d_model=32, n_layer=2, n_head=4, d_mlp=24, n_expert=5, top_k=2)


def mixture(seed: int = 0, spread: float = 0.3, **changes: object) -> Mixture:
    """In evaluation mode, with weights large enough for differences to show."""
    generator = torch.Generator().manual_seed(seed)
    model = Mixture(dataclasses.replace(CFG, **changes), generator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=spread)
    return model


def some_tokens() -> Tensor:
    return torch.randint(N_TOKEN, (40, 3), generator=torch.Generator().manual_seed(1))


def routing(model: Mixture, tokens: Tensor) -> Tensor:
    """[layer batch pos expert]"""
    seen: list[Tensor] = []
    with torch.no_grad():
        model(tokens, hooks={routing_site(layer): seen.append for layer in range(model.cfg.depth)})
    return torch.stack(seen)


def additions() -> tuple[np.ndarray, np.ndarray]:
    a, b = np.divmod(np.arange(N_TOKEN**2), N_TOKEN)
    return np.stack([a, b, np.zeros_like(a)], 1), (a + b) % N_TOKEN


def test_one_expert_is_the_dense_transformer() -> None:
    sparse = mixture(n_expert=1, top_k=1)
    dense = Transformer(
        TransformerConfig(vocab=N_TOKEN, context=3, d_model=32, n_layer=2, n_head=4, d_mlp=24), torch.Generator()
    )
    weights = {name.replace("mixture.experts.0", "mlp"): value for name, value in sparse.state_dict().items()}
    dense.load_state_dict({name: value for name, value in weights.items() if "router" not in name})
    torch.testing.assert_close(sparse(some_tokens()), dense.eval()(some_tokens()))


def test_only_chosen_experts_are_read_and_their_weights_are_the_softmax_of_the_chosen_logits() -> None:
    model, tokens = mixture(), some_tokens()
    weights = routing(model, tokens)
    assert ((weights > 0).sum(-1) == 2).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    by_hand = top_weights(torch.tensor([[1.0, 3.0, 2.0]]), 2)
    torch.testing.assert_close(by_hand, torch.tensor([[0.0, math.e / (1 + math.e), 1 / (1 + math.e)]]))
    x = torch.randn(7, 32, generator=torch.Generator().manual_seed(0))
    experts = model.experts(0)
    gates = experts.route(x)
    by_hand = sum(gates[:, number, None] * expert(x) for number, expert in enumerate(experts.experts))
    torch.testing.assert_close(experts(x, gates), by_hand)


def test_the_names_of_experts_do_not_matter() -> None:
    model, tokens = mixture(), some_tokens()
    before, order = model(tokens), [3, 0, 4, 1, 2]
    first = model.experts(0)
    first.experts = torch.nn.ModuleList(first.experts[old] for old in order)
    first.router.weight.data = first.router.weight.data[order]
    torch.testing.assert_close(model(tokens), before)


def test_a_hook_sees_the_routing_and_may_replace_it() -> None:
    model, tokens = mixture(), some_tokens()
    site = routing_site(1)
    assert torch.equal(model(tokens, hooks={site: lambda _: None}), model(tokens))
    all_to_four = torch.zeros(40, 3, 5)
    all_to_four[..., 4] = 1.0
    replaced = model(tokens, hooks={site: lambda _: all_to_four})
    block = model.block(1)
    assert isinstance(block, MixtureBlock)
    for number in range(4):  # experts without weight cannot matter
        for parameter in block.mixture.experts[number].parameters():
            parameter.data.zero_()
    torch.testing.assert_close(model(tokens, hooks={site: lambda _: all_to_four}), replaced)
    assert not torch.allclose(model(tokens), replaced)


def test_the_state_at_one_position_and_going_on_are_those_of_the_whole_pass() -> None:
    model, tokens = mixture(), some_tokens()
    whole = model.resid(tokens)
    at = torch.arange(40) % 3
    torch.testing.assert_close(model.resid_at(tokens, at), whole[torch.arange(40), at])
    torch.testing.assert_close(model.going_on(tokens)[0], whole)


def test_interventions_re_run_the_routing() -> None:
    model = mixture().double()
    clean, other = some_tokens(), some_tokens().flip(0)
    here, there, other_states = trace(model, clean), trace(model, other), states(model, other)
    for layer in range(3):
        for pos in range(3):
            fast = patched(model, here, there, layer, pos)
            slow = patched_resid_by_hooks(model, clean, other_states, layer, pos)[:, -1]
            assert (fast - slow).abs().max() < 1e-10


def test_imbalance_is_one_for_even_use_and_the_number_of_experts_for_collapse() -> None:
    even = torch.zeros(8, 4)
    chosen = torch.eye(4).repeat(2, 1)
    assert imbalance(even, chosen).item() == pytest.approx(1.0)
    assert imbalance(100 * chosen, chosen).item() == pytest.approx(1.0)
    all_first = torch.zeros(8, 4)
    all_first[:, 0] = 1.0
    assert imbalance(100 * all_first, all_first).item() == pytest.approx(4.0)


def test_only_a_trained_router_in_training_mode_adds_to_the_loss() -> None:
    model = mixture(balance=0.5, z_loss=0.0)
    model(some_tokens())
    assert model.penalty() == 0.0
    model.train()
    logits = model(some_tokens())
    penalty = model.penalty()
    assert isinstance(penalty, Tensor)
    assert penalty.item() >= 0.5 * 2 * 0.8  # near 1 a layer for any use that follows the probabilities
    penalty.backward()
    assert model.experts(1).router.weight.grad is not None
    assert logits.requires_grad
    for router in ("frozen", "scrambled"):
        other = mixture(router=router).train()
        other(some_tokens())
        assert other.penalty() == 0.0


def test_a_scrambled_router_sends_neighbours_apart_and_the_same_alike() -> None:
    states = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    near = states + 0.01 * torch.randn(400, 32, generator=torch.Generator().manual_seed(1))
    same = {}
    for router in ("frozen", "scrambled"):
        experts = mixture(router=router).experts(0)
        assert torch.equal(experts.route(states), experts.route(states))
        same[router] = ((experts.route(states) > 0) == (experts.route(near) > 0)).all(-1).float().mean().item()
    assert same["frozen"] > 0.9
    assert abs(same["scrambled"] - 1 / math.comb(5, 2)) < 0.08  # chance: one pair of experts in ten


@pytest.mark.parametrize("router", ["learned", "frozen", "scrambled"])
def test_it_learns_to_copy_and_only_a_learned_router_moves(router: Router) -> None:
    prompts, _ = additions()
    first = prompts[:, 0]
    model = Mixture(dataclasses.replace(CFG, router=router), torch.Generator().manual_seed(0))
    before = model.experts(0).router.weight.detach().clone()
    cfg = FitConfig(steps=100, batch=72, evaluations=3, optimiser=OptimiserConfig("adamw", lr=5e-3, warmup=10))
    fit(model, padded([prompts], [first]), cfg, order_seed=0)
    assert accuracy(model, torch.from_numpy(prompts), torch.from_numpy(first)) == 1.0
    assert torch.equal(before, model.experts(0).router.weight) == (router != "learned")


def test_nothing_is_learnt_about_unseen_noise() -> None:
    prompts, _ = additions()
    noise = np.random.default_rng(0).integers(0, N_TOKEN, len(prompts))
    seen = np.arange(len(prompts)) % 2 == 0
    model = Mixture(CFG, torch.Generator().manual_seed(0))
    cfg = FitConfig(steps=200, batch=72, evaluations=3, optimiser=OptimiserConfig("adamw", lr=5e-3, warmup=10))
    fit(model, padded([prompts[seen]], [noise[seen]]), cfg, order_seed=0)
    chance = 1 / N_TOKEN
    unseen = accuracy(model, torch.from_numpy(prompts[~seen]), torch.from_numpy(noise[~seen]))
    assert unseen < chance + 3 * math.sqrt(chance * (1 - chance) / (~seen).sum())
    assert accuracy(model, torch.from_numpy(prompts[seen]), torch.from_numpy(noise[seen])) > 0.95


def test_descending_the_penalty_alone_spreads_a_collapsed_router() -> None:
    experts = mixture(balance=1.0, z_loss=0.0).experts(0).train()
    x = torch.randn(500, 32, generator=torch.Generator().manual_seed(0))
    x[:, 0] = 1.0
    with torch.no_grad():
        experts.router.weight[:, 0] = torch.tensor([9.0, 8.0, 0.0, 0.0, 0.0])  # two experts have everything
    optimiser = torch.optim.Adam([experts.router.weight], lr=0.1)
    use = []
    for _ in range(200):
        use.append((experts.route(x) > 0).float().mean(0) / 2)
        assert experts.penalty is not None
        optimiser.zero_grad()
        experts.penalty.backward()
        optimiser.step()
    assert use[0][:2].sum() > 0.95
    assert (use[-1] - 0.2).abs().max() < 0.05


def test_routers_are_no_hidden_matrices_and_sparse_models_are_not_stacked() -> None:
    model = mixture()
    routers = {id(model.experts(layer).router.weight) for layer in range(2)}
    assert not routers & {id(p) for p in model.hidden_matrices()}
    assert len(model.hidden_matrices()) == 2 * (4 + 2 * 5)
    prompts, sums = additions()
    assert shape(Training(model, padded([prompts], [sums]), FitConfig(), 0)) is None
    with pytest.raises(ValueError, match="a Mixture cannot be stacked"):
        Stack([model, mixture(seed=1)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"top_k": 6}, "got top_k 6, n_expert 5"), ({"loops": 2}, "applied once"), ({"d_mlp": 0}, "need a width")],
)
def test_impossible_mixtures_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CFG, **changes)


def test_evaluations_may_be_spaced_evenly() -> None:
    assert evaluation_steps(100, 5, "even") == [1, 26, 50, 75, 100]
