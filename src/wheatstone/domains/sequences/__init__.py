"""Compositional sequence tasks: pairs of token sequences from published grammars, real files or a user's own."""
