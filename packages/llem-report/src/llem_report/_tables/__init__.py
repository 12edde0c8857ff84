"""Tables of runs, requests, points and levels, and the files they are written to."""
