DROP TABLE course_revision_skills;
DROP TABLE course_progressions;
DROP TABLE skills;
DROP TABLE course_revisions;
DROP TABLE courses;
DROP TABLE course_providers;
DROP TABLE users;
