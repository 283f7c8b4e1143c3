"""Quantum circuits: OpenQASM in and out, layered circuits, matrix product states, spin chains, compiling, noise."""
