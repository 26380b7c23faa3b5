"""Everything after the preferences: the DPO run, its data, its presets and its report."""
