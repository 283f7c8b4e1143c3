"""Neural circuit diagrams: the study is in `study.py`, the language in `wheatstone.domains.diagrams`."""
