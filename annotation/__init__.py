"""From prompts to the annotator's screen: the nouns, the project folder, drafting, selection, the embedded Argilla."""
