"""Circuits of two tasks in one language model: the study is in `study.py`, one trial in `experiment.py`."""
