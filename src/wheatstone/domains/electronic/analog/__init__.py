"""Analog circuits: SPICE netlists with open values, ngspice inside this program's own processes, measures with units.

netlist     a SPICE netlist whose {holes} are parameters
library     device models, and the few bins of them that a netlist needs
engine      ngspice in worker processes under a watchdog: `Engine.run(deck, analyses)` gives waves or a failure
measures    gain, bandwidth, peaking, noise, power, gate area of one simulated design
testbench   all of it as a TOML file: what may be varied, what is measured, what must hold, what is wanted
"""
