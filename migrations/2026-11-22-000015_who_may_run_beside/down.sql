DROP TABLE schema_overlaps;
