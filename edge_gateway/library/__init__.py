"""What lies at the edge already: folders and buckets that operators name, used as assets without an upload."""
