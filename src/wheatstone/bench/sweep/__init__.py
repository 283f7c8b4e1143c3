"""Sweeps: one study over a grid of settings, each point an ordinary run, one report for all of them.

A phase diagram (which settings generalise, and how soon) is how the literature on grokking states its results: Power et
al. (2022, arXiv:2201.02177, figure 2 over data share and weight decay), Liu et al. (2022, arXiv:2205.10343, figure 4).
"""
