"""Everything that the terminal shows: results on stdout, progress and warnings on stderr."""
