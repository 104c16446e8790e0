"""Promotion: the gates that a version must pass, and the evidence."""
