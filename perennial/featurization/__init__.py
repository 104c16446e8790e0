"""Featurization: what a model sees of a row."""
