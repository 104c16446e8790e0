"""Graph: the stages of a pipeline, what they are made from, and ranges of partitions."""
