theory unbalanced
object N P(1)
object + P(x(1)(x(1)(1)))
axiom commutes (>[a,b,c](in3[a,b,c,+])(in3[b,a,c,+])
axiom brackets (>[a,b,c](in3[a,b;c,+])(in3[b,a,c,+]))
axioms more (in[a,N])
