"""What a study did, in the words of a paper: sentences, a table, and what must be admitted."""
