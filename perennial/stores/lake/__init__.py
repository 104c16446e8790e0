"""Lake: tables, their revisions and their manifest, and the care of them."""
