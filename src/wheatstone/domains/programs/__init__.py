"""Small typed programs over lists and numbers: what they mean, how they read, and how they are found from examples."""
