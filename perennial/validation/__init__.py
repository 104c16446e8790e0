"""Validation: which rows and partitions may be used, and how they look."""
