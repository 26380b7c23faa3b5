"""The task "check exam questions": whether a question is as it was printed, its key right, and of the country."""
