"""Grokking seen from the routers of a mixture of experts: the study is in `study.py`, one trial in `experiment.py`."""
