# Groups by relation. Only a left identity and left inverses are assumed, and `inv` is a relation: that every element
# has one inverse at most, so that `inv` is a function at all, is for the prover to find. There is no induction.
theory groups

object G   P(1)
object e   (1)
object *   P(x(1)(x(1)(1)))
object inv P(x(1)(1))
anchor AnchorGroup[G,e,*,inv]

axiom *_function    (fXYZ[*,G,G,G])
axiom associative   (>[a,b,c,d,f,g](&(in3[a,b,d,*])(&(in3[b,c,f,*])(in3[d,c,g,*])))(in3[a,f,g,*]))
axiom left_identity (>[a](in[a,G])(in3[e,a,a,*]))
axiom has_inverse   (>[a](in[a,G])!(>[b](in[b,G])!(in2[a,b,inv])))
axiom left_inverse  (>[a,b](in2[a,b,inv])(in3[b,a,e,*]))
