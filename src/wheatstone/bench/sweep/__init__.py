"""Sweeps: one study over a grid of settings, each point an ordinary run, one report for all of them.

Maps over two settings are how the literature on grokking states where a model memorises and where it generalises: Liu
et al., NeurIPS 2022, arXiv:2205.10343, figure 6.
"""
