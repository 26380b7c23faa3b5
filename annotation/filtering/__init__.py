"""Filters of a preference set: each rule says what it would leave out, by which threshold, and because of what."""
