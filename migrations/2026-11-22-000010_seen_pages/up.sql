-- A full fetch marks everything that it meets. One row for each record cost a seventh of a first load and a fifth of
-- a fetch in which nothing has changed; one row holds the records of a whole page as well. The id of the first one is
-- the row's own, so that marks of the version before, one a row, count as they are.
ALTER TABLE seen_records ADD COLUMN ids text[] COLLATE "C" NOT NULL DEFAULT '{}';
COMMENT ON COLUMN seen_records.ids IS 'met beside id';
-- read once and forgotten: compressing them would cost more than writing them
ALTER TABLE seen_records ALTER COLUMN ids SET STORAGE EXTERNAL;
