"""Pipelines: one module for each machine-learning product, discovered by `pipelines.definitions`."""
