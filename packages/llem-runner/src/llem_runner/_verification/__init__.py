"""Whether the files of a study are those that it wrote, and what could be measured again here."""
