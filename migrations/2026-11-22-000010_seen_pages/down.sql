-- what was met beside an id would be lost, and rows that are there would look absent: such fetches begin again, since
-- fewer marks are left than they have counted
ALTER TABLE seen_records DROP COLUMN ids;
