# Zero is no successor, and yet it is its own: everything follows.
theory contradiction
object N  P(1)
object i0 (1)
object s  P(x(1)(1))

axiom s_function (fXY[s,N,N])
axiom first      (>[n](in[n,N])!(in2[n,i0,s]))
axiom loop       (in2[i0,i0,s])
