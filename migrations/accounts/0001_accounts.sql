-- What a database says of itself. A service that finds another name here refuses to start.
CREATE TABLE shard_identity (
    singleton      TINYINT UNSIGNED  NOT NULL PRIMARY KEY,
    store          VARCHAR(16)       NOT NULL,
    shard          SMALLINT UNSIGNED NOT NULL,
    slot_map_epoch INT UNSIGNED      NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE accounts (
    id             BINARY(16)       NOT NULL PRIMARY KEY,
    tenant         VARCHAR(64)      NOT NULL,
    -- Whose it is within the tenant; NULL for the tenant's own.
    merchant       VARCHAR(64)      NULL,
    -- 1 customer, 2 merchant, 3 external.
    kind           TINYINT UNSIGNED NOT NULL,
    currency       CHAR(3)          NOT NULL,
    name           VARCHAR(200)     NOT NULL,
    -- 1 open, 2 closed.
    status         TINYINT UNSIGNED NOT NULL,
    -- The sum of the entries' deltas.
    ledger_balance BIGINT           NOT NULL DEFAULT 0,
    -- The sum of what open holds reserve.
    held           BIGINT           NOT NULL DEFAULT 0,
    -- How far below zero the available balance may go; NULL is without limit (external only).
    credit_limit   BIGINT           NULL DEFAULT 0,
    -- The number of the newest entry.
    last_entry     BIGINT UNSIGNED  NOT NULL DEFAULT 0,
    -- Tells two bodies under one Idempotency-Key apart; NULL when opened without one.
    body_digest    BINARY(32)       NULL,
    created_at     DATETIME(6)      NOT NULL,
    closed_at      DATETIME(6)      NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Funds reserved, not moved; the row is also the fence of its branch, so a tombstone is a hold of 0.
-- Index rows touched on the path: 2 at the try, 1 at the end.
CREATE TABLE holds (
    seq         BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid         BINARY(16)       NOT NULL,
    leg         TINYINT UNSIGNED NOT NULL,
    account     BINARY(16)       NOT NULL,
    amount      BIGINT           NOT NULL,
    captured    BIGINT           NOT NULL DEFAULT 0,
    -- 1 reserved, 2 refused, 3 confirmed, 4 cancelled, 5 cancelled before try (the tombstone).
    state       TINYINT UNSIGNED NOT NULL,
    -- Why refused, as orders.reason; 0 none.
    reason      TINYINT UNSIGNED NOT NULL DEFAULT 0,
    -- When an authorisation runs out; NULL while a payment settles at once.
    expires_at  DATETIME(6)      NULL,
    created_at  DATETIME(6)      NOT NULL,
    UNIQUE KEY holds_branch (xid, leg)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One debit or credit line. A statement is one range of the primary key.
-- Index rows touched on the path: 2 an entry.
CREATE TABLE entries (
    account       BINARY(16)       NOT NULL,
    number        BIGINT UNSIGNED  NOT NULL,
    xid           BINARY(16)       NOT NULL,
    leg           TINYINT UNSIGNED NOT NULL,
    delta         BIGINT           NOT NULL,
    balance_after BIGINT           NOT NULL,
    booked_at     DATETIME(6)      NOT NULL,
    PRIMARY KEY (account, number),
    UNIQUE KEY entries_branch (xid, leg)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
