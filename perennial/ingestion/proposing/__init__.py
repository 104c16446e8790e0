"""Proposing: the declaration that a file suggests, and the module that says it."""
