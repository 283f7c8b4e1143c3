# Addition of natural numbers alone: the smallest theory in which commutativity needs induction.
theory addition

object N  P(1)
object i0 (1)
object s  P(x(1)(1))
object +  P(x(1)(x(1)(1)))
anchor AnchorAddition[N,i0,s,+]

axiom s_function (fXY[s,N,N])
axiom +_function (fXYZ[+,N,N,N])

axiom zero_is_first (>[n](in[n,N])!(in2[n,i0,s]))
axiom s_injective   (>[m,n,r](&(in2[m,r,s])(in2[n,r,s]))(=[m,n]))

axiom +_zero      (>[a,b](=[a,b])(in3[a,i0,b,+]))
axiom +_successor (>[a,b,c,d,e](&(in2[b,c,s])(in3[a,b,d,+]))(>[](in2[d,e,s])(in3[a,c,e,+])))

induct N i0 s
