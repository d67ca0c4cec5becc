"""Rows and sets as they are read: files, data sets of the hub, retrieval sets, and hashes of their contents."""
