-- A new version's migrations are applied while processes of the old one still serve, and a rollout that is taken back
-- starts the old one again. Without a word about it, old code could only guess whether a migration that it does not know
-- leaves it what it needs: it would refuse where it may go on, or write into a schema that has moved on. So from here on
-- every migration says which code may run beside it; of one that says nothing, none that does not know it.
CREATE TABLE schema_overlaps (
    -- the migration that speaks
    migration text PRIMARY KEY,
    -- code that knows this migration, or a later one, may run when the other is applied already
    oldest_code text NOT NULL
);
INSERT INTO schema_overlaps (migration, oldest_code) VALUES ('20261122000015', '20261122000010');
