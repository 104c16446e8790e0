"""Prediction: from a request to an answer."""
