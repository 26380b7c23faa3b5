"""How slates go through the model: packing, losses, log-probs, memory, processes."""
