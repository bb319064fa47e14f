"""The report database: the only place that speaks SQL to it."""
