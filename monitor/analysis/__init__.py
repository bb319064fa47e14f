"""Reference and window in, evaluation out: pure functions, with no database, no clock and no network."""
