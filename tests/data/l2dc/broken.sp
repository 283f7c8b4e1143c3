* a resistor without a value, a brace without its partner
V1 in 0 dc 1 ac 1
R1 in out
M1 out in 0 0 nch w={w1 l=1u
