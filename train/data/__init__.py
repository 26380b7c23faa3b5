"""From files of judgements to tokens: reading, slates, the split, preflight, regions."""
