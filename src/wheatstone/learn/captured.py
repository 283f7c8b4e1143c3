"""A CUDA graph of a training step: the kernels of one step, launched at once.

A step of a small model is some hundred kernels of microseconds each, so a GPU waits for the program that launches them.
A CUDA graph records the launches once and repeats them in one call. What is recorded must read and write the same
memory each time: fixed shapes, no value that the program looks at, learning rates as tensors on the device.

Source  NVIDIA, "Getting Started with CUDA Graphs", 2019; the steps before the capture as in PyTorch's notes on CUDA
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UP = 3
"""Ordinary calls before the capture: libraries allocate their workspaces and the optimiser its state."""


class Captured:
    """A function of one tensor of fixed shape on a CUDA device, replayed as a graph from its fourth call on.

    Every call does the function's work exactly once: the first three are ordinary ones. What it returns is overwritten
    by the next call.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self.calls = function, 0
        self.graph: Any = None
        self.stream = torch.cuda.Stream()
        self.given = self.found = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls <= WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                found = self.function(x)
            torch.cuda.current_stream().wait_stream(self.stream)
            return found
        if self.graph is None:
            self.given, self.graph = x.clone(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.found = self.function(self.given)
        else:
            self.given.copy_(x)
        self.graph.replay()
        return self.found
