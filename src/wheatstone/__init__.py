"""wheatstone: a bench for claims about circuits and generalisation."""

__version__ = "0.1.0"
