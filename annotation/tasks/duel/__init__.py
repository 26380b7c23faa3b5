"""The task "compare two answers": which of two is better for one's country, or a tie; a demo's visitors do it too."""
