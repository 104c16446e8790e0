"""Production: what was asked, answered and pushed, between the server and the lake."""
