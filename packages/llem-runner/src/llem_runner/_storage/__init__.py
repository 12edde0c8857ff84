"""The study folder. Only this sub-package knows its file names and formats."""
