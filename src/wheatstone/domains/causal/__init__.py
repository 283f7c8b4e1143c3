"""Causal graphs and the axioms that hold of them: structures, questions, oracles, words and file formats."""
