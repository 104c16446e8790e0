"""Models: what a training leaves behind, from its files to MLflow."""
