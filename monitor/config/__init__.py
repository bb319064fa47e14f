"""monitor.yaml: what is monitored, and how. Read, checked with line numbers, merged with its defaults."""
