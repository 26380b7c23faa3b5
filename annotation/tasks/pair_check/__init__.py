"""The task "check pairs": whether a sentence is what people say, and its control sentences are not."""
