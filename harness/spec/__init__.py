"""The study file API: ablations, studies, spaces, losses, views and expectations. Light to import."""
