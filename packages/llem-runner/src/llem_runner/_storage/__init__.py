"""The study folder. Only this code knows its file names and formats."""
