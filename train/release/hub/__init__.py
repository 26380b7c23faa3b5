"""The Hugging Face Hub: what a released folder holds, and how it is pushed there."""
