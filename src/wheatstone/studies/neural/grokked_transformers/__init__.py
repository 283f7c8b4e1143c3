"""Implicit reasoning by grokking: the study is in `study.py`, one trial in `experiment.py`."""
