"""Drafts of study files from a file of rows: what its columns are, which losses they feed, and the file's text."""
