"""The forest over bit planes: features become small whole numbers, 512 pixels go through all trees at once."""
