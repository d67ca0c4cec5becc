"""Library upgrades and changes of a loss: one study file under two environments, and which of them moved a number."""
