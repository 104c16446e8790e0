"""Assets: the graph of one pipeline, a factory an asset, a module a stage of the lifecycle."""
