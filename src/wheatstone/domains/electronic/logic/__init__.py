"""Combinational logic: and-inverter graphs, AIGER, BLIF, Verilog, Liberty, ABC in a process that stays, equivalence."""
