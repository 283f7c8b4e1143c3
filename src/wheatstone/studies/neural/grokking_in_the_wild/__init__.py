"""Grokking in the wild: a real knowledge graph, augmented until a transformer composes its facts."""
