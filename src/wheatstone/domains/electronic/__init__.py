"""Electronic circuits: analog ones through SPICE, digital ones as graphs of gates."""
