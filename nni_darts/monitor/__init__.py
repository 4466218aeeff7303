"""The page of the alphas, and the rules that tell a collapsed search."""
