"""Metamorphic checks of the installed libraries, for `harness doctor`: each says what it proves."""
