"""Studies of operators, Hamiltonian dynamics and other physical systems."""
