"""Seasons: whether a partition resembles the history of like partitions."""
