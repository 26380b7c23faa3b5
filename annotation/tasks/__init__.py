"""Annotation tasks: each turns slates into an Argilla dataset and a response back into a judgement."""
