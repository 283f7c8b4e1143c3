"""The coverage principle: the study is in `study.py`, one trial in `experiment.py` or `search.py`."""
