-- What is left of Kombo's rate limit, shared by all processes that use one API key. Without it every process
-- finds the limit by itself: the sum of what each believes to be left is more than there is, Kombo answers
-- 429, and nothing is kept free for news.
--
-- Unlogged, since every answer of Kombo tells it anew: taking one request must not wait for a disk, and after
-- a crash nothing is known for as long as one request takes.
CREATE UNLOGGED TABLE rate_budgets (
    -- a digest of base URL and API key: the key itself must not be readable here
    key_digest text COLLATE "C" PRIMARY KEY,
    -- requests in a window; 0: not known
    request_limit bigint NOT NULL,
    remaining bigint NOT NULL,
    window_ends_at timestamptz NOT NULL,
    -- false: begun by us when the last window ended, and no answer has said yet how long it is
    told boolean NOT NULL
);
