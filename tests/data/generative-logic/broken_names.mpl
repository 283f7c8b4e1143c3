theory misspelt
object N  P(1)
object i0 (1)
object +  P(x(1)(x(1)(1)))

axiom +_function (fXYZ[+,N,N,N])
axiom zero       (>[a](in[a,N])(in3[a,i1,a,+]))
axiom other      (>[a](in[a,M])(inn3[a,a,a,+]))
define leq[a,b]  !(>[c](less[a,c])!(in3[a,c,b,+]))
define less[a,b] !(>[c](leq[a,c])!(in3[a,c,b,+]))
induct N i0 s
