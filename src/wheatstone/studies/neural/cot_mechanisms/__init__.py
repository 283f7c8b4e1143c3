"""Chain of thought on two hops: the study is in `study.py`, one trial in `experiment.py`."""
