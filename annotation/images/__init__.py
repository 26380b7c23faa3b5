"""Pictures that people describe: taken in without what they say about a place or a person, and kept by content."""
