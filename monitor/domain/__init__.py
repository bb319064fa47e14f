"""Plain frozen dataclasses, enums and pure functions: no I/O, no clock."""
