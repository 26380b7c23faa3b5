"""How far judgements can be trusted."""
