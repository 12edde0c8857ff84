"""Makes the archive of a study: files, tables, report, and what a stranger needs to read them."""
