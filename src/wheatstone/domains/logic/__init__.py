"""Logic: theories as text, equational and Horn proofs found by search, and a kernel that checks them on its own."""
