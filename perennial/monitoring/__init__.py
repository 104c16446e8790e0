"""Monitoring: how the model does in production, and whether the world moved."""
