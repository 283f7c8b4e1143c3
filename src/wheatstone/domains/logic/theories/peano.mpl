# The natural numbers: zero, successor, addition and multiplication as relations, each total and single-valued.
# `induct` is the schema of induction; it is the only place where it comes from.
theory peano

object N  P(1)
object i0 (1)
object s  P(x(1)(1))
object +  P(x(1)(x(1)(1)))
object *  P(x(1)(x(1)(1)))
object i1 (1)
anchor AnchorPeano[N,i0,s,+,*,i1]

axiom s_function (fXY[s,N,N])
axiom +_function (fXYZ[+,N,N,N])
axiom *_function (fXYZ[*,N,N,N])

axiom zero_is_first (>[n](in[n,N])!(in2[n,i0,s]))
axiom s_injective   (>[m,n,r](&(in2[m,r,s])(in2[n,r,s]))(=[m,n]))
axiom one           (in2[i0,i1,s])

axiom +_zero      (>[a,b](=[a,b])(in3[a,i0,b,+]))
axiom +_successor (>[a,b,c,d,e](&(in2[b,c,s])(in3[a,b,d,+]))(>[](in2[d,e,s])(in3[a,c,e,+])))

axiom *_zero      (>[a](in[a,N])(in3[a,i0,i0,*]))
axiom *_successor (>[a,b,c,d,e](&(in2[b,c,s])(in3[a,b,d,*]))(>[](in3[d,a,e,+])(in3[a,c,e,*])))

define leq[a,b]     !(>[c](in[c,N])!(in3[a,c,b,+]))
define divides[a,b] !(>[c](in[c,N])!(in3[a,c,b,*]))

induct N i0 s
