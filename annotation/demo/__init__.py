"""What the demo consists of: prompts with answers, and pictures that are drawn when they are needed."""
