"""The task "judge stories": whether a text that a model wrote about a person of a group repeats a stereotype."""
