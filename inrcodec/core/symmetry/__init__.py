"""Point groups and helices: what they are (groups) and how they are found in a volume (detection)."""
