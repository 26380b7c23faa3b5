"""Where candidates come from: Cohere, or a file written elsewhere."""
