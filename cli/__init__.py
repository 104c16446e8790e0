"""Command line: the `perennial` command; it runs the same assets in the same Dagster instance as the UI."""
