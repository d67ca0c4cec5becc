"""Names that study files give: those that are safe as folders."""

from __future__ import annotations

FOLDER_NAME = "1 to 100 printable characters, none of / \\ |, no leading dot"
"""Names that are safe as folders in stores and reports: they cannot point outside."""


def names_a_folder(name: object) -> bool:
    """Return whether a name is safe as the name of a folder."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode()) <= 100
        and name.isprintable()
        and name[0] != "."
        and not set(name) & set("/\\|")
    )
