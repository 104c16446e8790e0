"""Labels: what happened, and since when one could know it."""
