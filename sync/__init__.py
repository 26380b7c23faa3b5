"""Everything that goes to Argilla and comes back: people, slates, judgements, quotas, agreement, the trigger."""
