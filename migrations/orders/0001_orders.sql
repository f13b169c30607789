-- What a database says of itself. A service that finds another name here refuses to start.
CREATE TABLE shard_identity (
    singleton      TINYINT UNSIGNED  NOT NULL PRIMARY KEY,
    store          VARCHAR(16)       NOT NULL,
    shard          SMALLINT UNSIGNED NOT NULL,
    slot_map_epoch INT UNSIGNED      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row is an order, its branches, and the log of its global transaction.
-- Index rows touched on the path: 3 at the insert, 1 at the decision, 3 at the end.
CREATE TABLE orders (
    -- Clustered by arrival: inserts stay at the right edge however many rows there are.
    seq             BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    id              BINARY(16)        NOT NULL,
    tenant          VARCHAR(64)       NOT NULL,
    merchant        VARCHAR(64)       NOT NULL,
    -- Tells two bodies under one Idempotency-Key apart.
    body_digest     BINARY(32)        NOT NULL,
    -- 1 trying, 2 confirming, 3 cancelling, 10 paid, 11 cancelled.
    state           TINYINT UNSIGNED  NOT NULL,
    -- Why cancelled: 0 none, 1 insufficient_funds, 2 account_not_found, 3 account_closed,
    -- 4 currency_mismatch, 5 expired.
    reason          TINYINT UNSIGNED  NOT NULL DEFAULT 0,
    -- Grows when something visible changes, not with leases and attempts.
    version         BIGINT UNSIGNED   NOT NULL DEFAULT 1,
    currency        CHAR(3)           NOT NULL,
    amount          BIGINT            NOT NULL,
    captured        BIGINT            NOT NULL DEFAULT 0,
    refunded        BIGINT            NOT NULL DEFAULT 0,
    -- The n legs, numbered by their place: [["d","<account>",2933],["c","<account>",2933]].
    branches        TEXT              NOT NULL,
    reference       VARCHAR(128)      NULL,
    description     VARCHAR(1000)     NULL,
    metadata        TEXT              NULL,
    -- When the API took it; first tried later than not_after it ends as expired.
    accepted_at     DATETIME(6)       NOT NULL,
    not_after       DATETIME(6)       NOT NULL,
    -- Undecided past decide_by it is cancelled. Both are compared by this database's clock.
    decide_by       DATETIME(6)       NOT NULL,
    -- NULL once ended: the sweeper's index holds what is open at its right edge.
    next_attempt_at DATETIME(6)       NULL,
    attempts        INT UNSIGNED      NOT NULL DEFAULT 0,
    -- Why the last attempt did not end it.
    last_cause      VARCHAR(500)      NULL,
    created_at      DATETIME(6)       NOT NULL,
    updated_at      DATETIME(6)       NOT NULL,
    UNIQUE KEY orders_id (id),
    KEY orders_next_attempt (next_attempt_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
