-- Who did what, one chain a shard: each entry carries the hash of the one before, so that nothing can
-- be altered, removed or put in between without the rest of the chain telling. Rows are only added.
-- Index rows touched by an action: 1 here, 1 of audit_head.
CREATE TABLE audit (
    -- From 1, without gaps: given out under the lock of audit_head, never by AUTO_INCREMENT.
    seq        BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    at         DATETIME(6)     NOT NULL,
    -- Whose business it was; empty for an operator's act on all of them.
    tenant     VARCHAR(64)     NOT NULL,
    -- A token's subject, or user@host of whoever ran the command.
    actor      VARCHAR(200)    NOT NULL,
    -- 'api' or 'command'.
    via        VARCHAR(16)     NOT NULL,
    action     VARCHAR(64)     NOT NULL,
    -- What it was done to, such as acct_...
    object     VARCHAR(200)    NOT NULL,
    -- A JSON object.
    detail     VARCHAR(4096)   NOT NULL,
    -- As in the header x-request-id; empty for the command.
    request_id VARCHAR(128)    NOT NULL,
    -- The hash of the entry before; zeros before the first.
    prev_hash  BINARY(32)      NOT NULL,
    -- SHA-256 over the shard's name and every column above.
    hash       BINARY(32)      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The newest entry. Its lock is what keeps a chain from forking; it is taken last, right before COMMIT.
CREATE TABLE audit_head (
    singleton TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    seq       BIGINT UNSIGNED  NOT NULL,
    hash      BINARY(32)       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

INSERT INTO audit_head (singleton, seq, hash) VALUES (1, 0, REPEAT(CHAR(0), 32));
