"""Votes of a demo's visitors come home: their files, read strictly, and what becomes of them in the ledger."""
