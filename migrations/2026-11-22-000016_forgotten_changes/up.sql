-- A reader of the change feed goes on at its last cursor. Where the changes behind it were removed by age meanwhile, the
-- feed would go on as if nothing had happened between, and the reader would miss them without a word. So each integration
-- knows up to where its changes were forgotten; a cursor before that is refused.
ALTER TABLE integrations ADD COLUMN changes_forgotten_to bigint NOT NULL DEFAULT 0;
INSERT INTO schema_overlaps (migration, oldest_code) VALUES ('20261122000016', '20261122000010');
