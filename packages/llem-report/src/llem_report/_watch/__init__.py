"""A page that shows a study while it runs: what is read, how it is shown, and its server."""
