"""Ingestion: how a source's partitions arrive and land."""
