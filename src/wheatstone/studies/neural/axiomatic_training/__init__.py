"""Axiomatic training: a causal axiom taught from symbolic demonstrations alone."""
