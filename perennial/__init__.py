"""Perennial: declare a machine-learning pipeline, and keep its model fresh."""
