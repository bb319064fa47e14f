"""Files of records (CSV, JSON) as Parquet: read once, with one decision of types for a source, and every record that
cannot be read counted.
"""
