OPENQASM 2.0;
include "qelib1.inc";
qreg q[4];
creg c[4];
h q[0];
ccx q[0],q[1],q[2];
cx q[0],q[3];
measure q[1] -> c[1];
x q[1];
