"""What a study file says: ablations, studies, spaces, losses, views and claims. Light to import."""
