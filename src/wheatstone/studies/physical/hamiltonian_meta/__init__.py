"""Hamiltonian networks that adapt to an unseen law: the study is in `study.py`, one trial in `experiment.py`."""
