"""Real language models: `load_model` by name or path, and prompts whose answers are known."""

from wheatstone.domains.lm.catalogue import load_model

__all__ = ["load_model"]
