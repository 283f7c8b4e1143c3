"""KetGPT: the study is in `study.py`, one trial in `experiment.py`, its verbs in `verbs.py`."""
