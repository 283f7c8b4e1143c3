"""Retrieval-guided search of logic synthesis recipes."""
