"""Generative logic: definitions in, theorems with checked proofs out."""
