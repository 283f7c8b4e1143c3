# The natural numbers with the sum of the first n of them, by recursion: sum(0) = 0, sum(n + 1) = sum(n) + (n + 1).
theory sums

object N   P(1)
object i0  (1)
object s   P(x(1)(1))
object +   P(x(1)(x(1)(1)))
object *   P(x(1)(x(1)(1)))
object sum P(x(1)(1))
anchor AnchorSums[N,i0,s,+,*,sum]

axiom s_function   (fXY[s,N,N])
axiom sum_function (fXY[sum,N,N])
axiom +_function   (fXYZ[+,N,N,N])
axiom *_function   (fXYZ[*,N,N,N])

axiom zero_is_first (>[n](in[n,N])!(in2[n,i0,s]))
axiom s_injective   (>[m,n,r](&(in2[m,r,s])(in2[n,r,s]))(=[m,n]))

axiom +_zero      (>[a,b](=[a,b])(in3[a,i0,b,+]))
axiom +_successor (>[a,b,c,d,e](&(in2[b,c,s])(in3[a,b,d,+]))(>[](in2[d,e,s])(in3[a,c,e,+])))

axiom *_zero      (>[a](in[a,N])(in3[a,i0,i0,*]))
axiom *_successor (>[a,b,c,d,e](&(in2[b,c,s])(in3[a,b,d,*]))(>[](in3[d,a,e,+])(in3[a,c,e,*])))

axiom sum_zero      (in2[i0,i0,sum])
axiom sum_successor (>[n,m,t,u](&(in2[n,m,s])(in2[n,t,sum]))(>[](in3[t,m,u,+])(in2[m,u,sum])))

induct N i0 s
