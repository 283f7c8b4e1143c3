* Three-stage transimpedance amplifier: common gate, common source, source follower; SKY130, 1.8 V
VDD vdd 0 1.8
VB vb 0 {vb}
IIN 0 in dc 0 ac 1
CIN in 0 250f
* signal path: the photocurrent enters at the source of M1
M1 x vb in 0 sky130_fd_pr__nfet_01v8__model w={w1} l={l1}
M2 in bias 0 0 sky130_fd_pr__nfet_01v8__model w={w2} l={l2}
R1 vdd x {r1}
M3 y x 0 0 sky130_fd_pr__nfet_01v8__model w={w3} l={l3}
M4 y y vdd vdd sky130_fd_pr__pfet_01v8_lvt__model w={w4} l={l4}
M5 vdd y out 0 sky130_fd_pr__nfet_01v8_lvt__model w={w5} l=0.15u
M6 out bias 0 0 sky130_fd_pr__nfet_01v8__model w={w6} l={l2}
* bias: a diode that the current sinks M2 and M6 mirror
IB vdd bias {ib}
M7 bias bias 0 0 sky130_fd_pr__nfet_01v8__model w={w7} l={l2}
CL out 0 250f
