# A theory that the package does not ship: a set with one operation in which every equation has one solution.
theory loops
object Q P(1)
object e (1)
object * P(x(1)(x(1)(1)))
anchor AnchorLoop[Q,e,*]

axiom *_function     (fXYZ[*,Q,Q,Q])
axiom left_identity  (>[a](in[a,Q])(in3[e,a,a,*]))
axiom right_identity (>[a](in[a,Q])(in3[a,e,a,*]))
axiom cancels_left   (>[a,b,c,d](&(in3[a,b,d,*])(in3[a,c,d,*]))(=[b,c]))
axiom cancels_right  (>[a,b,c,d](&(in3[b,a,d,*])(in3[c,a,d,*]))(=[b,c]))
