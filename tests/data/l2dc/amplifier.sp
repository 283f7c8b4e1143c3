Common-source amplifier with a level 1 transistor
.param wn=10u rl=10k
Vdd vdd 0 3.3
Vin g 0 dc 0.9 ac 1
M1 d g 0 0 NCH W={wn} L=1u
RD vdd d {rl}
CL d 0 1p
.model NCH NMOS (LEVEL=1 VTO=0.6 KP=120u LAMBDA=0.05)
.op
.end
