"""Resources: the stores of `perennial.stores`, configured for Dagster."""
