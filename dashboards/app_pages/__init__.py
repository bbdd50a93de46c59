"""The pages. Each is layout; its numbers come from ``dashboards.queries``."""
