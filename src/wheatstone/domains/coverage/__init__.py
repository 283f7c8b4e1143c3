"""Coverage: which unseen inputs a table of examples decides by substituting equivalent fragments.

`table` reads rows of input tokens and a target; `classes` finds the fragments that the training rows show to be
functionally equivalent; `graph` links inputs by substitution and says which tests are covered, with a witness in words;
`predict` answers by substitution alone; `plan` says which rows to label next. All of it is arithmetic on the training
rows: nothing is trained.

Chang, Park, Cho, Yang, Ko, Hwang, Won, Lee, Ahn, Seo 2025, arXiv:2505.20278.
"""
