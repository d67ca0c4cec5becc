"""Texts as strings: when two count as equal, and when as nearly equal. Nothing here knows of rows or testbeds."""
