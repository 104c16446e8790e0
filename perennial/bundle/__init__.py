"""Bundle: everything that serves, as one immutable artifact."""
