"""Reading a window of a log: filter, sample and counts are done by the engine that holds the rows."""
