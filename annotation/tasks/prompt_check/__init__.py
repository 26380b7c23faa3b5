"""The task "check prompts": whether a prompt is worth ranking answers to."""
