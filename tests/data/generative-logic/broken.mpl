# Five faults, each in a place of its own.
theory broken
object N  P(1)
object i0 (1)
object s  P(x(1)(1))
object +  P(x(1)(x(1)(1)))

axiom +_function (fXYZ[+,N,N,N])
axiom arity      (>[a,b](in[a,N])(in3[a,b,+]))
axiom arity      (in[i0,N])
axiom unknown    (>[a](in[a,N])(in4[a,a,a,a,+]))
axiom free       (>[a](in[a,N])(in3[a,b,a,+]))
axiom clash      (>[a](in[a,N])(in2[a,a,+]))
