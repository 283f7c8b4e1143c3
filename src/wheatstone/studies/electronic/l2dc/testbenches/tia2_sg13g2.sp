* Two-stage transimpedance amplifier: common emitter, emitter follower, shunt feedback; SG13G2 bipolar transistors, 2.5 V
VCC vcc 0 2.5
IIN 0 in dc 0 ac 1
CPD in 0 {cpd}
.param cpd=60f
* signal path: the photocurrent meets the base of X1 and the feedback resistor
X1 c1 in e1 0 npn13G2 Nx={nx1}
RE1 e1 0 {re1}
RC vcc c1 {rc}
X2 vcc c1 out 0 npn13G2 Nx={nx2}
RE2 out 0 {re2}
RF out in {rf}
CF out in {cf}
CL out 0 20f
