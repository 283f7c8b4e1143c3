"""Circuits of tasks as records, and interventions at the last token against hooks on whole passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learn.test_decoder import GROUPED, random_decoder

from wheatstone.bench.errors import UserError
from wheatstone.interp.end_column import Head, trace_end
from wheatstone.interp.forced_attention import forced_attention, mean_ablated
from wheatstone.interp.path_patching import Contrast, Traced
from wheatstone.interp.task_circuit import Search, TaskCircuit, find_task_circuit, load_circuit, save_circuit


@pytest.fixture
def contrast() -> Contrast:
    draw = torch.Generator().manual_seed(2)
    clean, other = (torch.randint(0, 50, (5, 9), generator=draw) for _ in range(2))
    return Contrast(clean, other, torch.tensor([8, 5, 7, 8, 6]), ((1,),) * 5, ((5,),) * 5)


@pytest.fixture
def circuit(contrast: Contrast) -> TaskCircuit:
    model = random_decoder(GROUPED)
    traced = Traced.of(model, contrast)
    search = Search(4, 30)
    return find_task_circuit(model, ("random", "mine"), traced, [(1, 5)] * 5, search, np.random.default_rng(0))


def test_a_circuit_comes_back_from_its_file(circuit: TaskCircuit, tmp_path: Path) -> None:
    save_circuit(tmp_path / "circuit.json", circuit)
    assert load_circuit(tmp_path / "circuit.json") == circuit
    assert [len(stage.heads) for stage in circuit.stages] == [4, 4]
    strengths = [abs(head.effect) for head in circuit.stages[0].heads]
    assert strengths == sorted(strengths, reverse=True)
    for stage in circuit.stages:
        for head in stage.heads:
            assert head.low <= head.effect <= head.high
            assert head.effect == stage.effect[head.layer][head.head]
    receivers = {Head(*place) for place in circuit.stages[1].receivers}
    assert receivers == set(circuit.heads("mover"))


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (["format"], "other", "'format' must be"),
        (["version"], 2, "version 2"),
        (["n_layer"], 0, "field 'n_layer'"),
        (["n_head"], "6", "field 'n_head'"),
        (["stages"], [], "must hold one"),
        (["stages", 0, "effect"], [[1.0]], "3 rows of 6"),
        (["stages", 0, "heads", 0, "layer"], 99, "there is no head 99"),
        (["stages", 0, "heads", 0, "role"], "boss", "stages.0.heads.0.role"),
        (["stages", 1, "component"], "x", "component"),
    ],
)
def test_other_files_are_refused(
    path: list[str | int], value: object, word: str, circuit: TaskCircuit, tmp_path: Path
) -> None:
    data = json.loads(json.dumps(circuit.to_json()))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"bad\.json") as caught:
        load_circuit(file)
    assert word in str(caught.value)
    for text in ("", "[1]", "{}", '{"format": "wheatstone-circuit", "version": 1}'):
        file.write_text(text)
        with pytest.raises(UserError, match=r"bad\.json"):
            load_circuit(file)


def test_forced_attention_is_a_changed_pattern(contrast: Contrast) -> None:
    model = random_decoder(GROUPED)
    trace = trace_end(model, contrast.clean, contrast.end)
    heads, positions = [Head(1, 0), Head(1, 5), Head(2, 3)], torch.tensor([[0, 1], [2, 3], [1, 4], [0, 7], [5, 2]])
    rows = torch.arange(5)

    def force(layer: int):
        def put(pattern: torch.Tensor) -> torch.Tensor:
            pattern = pattern.clone()
            for head in heads:
                if head.layer == layer:
                    pattern[rows, head.head, contrast.end] = 0
                    pattern[rows[:, None], head.head, contrast.end[:, None], positions] = 0.5
            return pattern

        return put

    hooks = {model.sites[layer].pattern: force(layer) for layer in (1, 2)}
    slow = model.resid(contrast.clean, hooks=hooks)[rows, contrast.end]
    fast = forced_attention(model, trace, heads, positions)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-4)
    assert (fast - trace.resid[-1]).abs().max() > 0.01


def test_mean_ablation_is_a_changed_output(contrast: Contrast) -> None:
    model = random_decoder(GROUPED)
    trace = trace_end(model, contrast.clean, contrast.end)
    rows = torch.arange(5)

    def ablate(z: torch.Tensor) -> torch.Tensor:
        z = z.clone()
        z[rows, contrast.end, 2] = z[rows, contrast.end, 2].mean(0)
        return z

    slow = model.resid(contrast.clean, hooks={model.sites[1].z: ablate})[rows, contrast.end]
    torch.testing.assert_close(mean_ablated(model, trace, [Head(1, 2)]), slow, rtol=1e-4, atol=1e-4)
