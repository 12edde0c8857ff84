"""The archive of a study: one zip file, whose content is a bag with the digests of all files."""
