DELETE FROM schema_overlaps WHERE migration = '20261122000016';
ALTER TABLE integrations DROP COLUMN changes_forgotten_to;
