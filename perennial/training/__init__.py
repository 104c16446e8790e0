"""Training: the rows, the candidates, and how they are fitted."""
