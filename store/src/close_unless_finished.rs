//! A pool's connection in the hands of somebody who may be dropped at any point.

use sqlx::MySql;
use sqlx::mysql::MySqlConnection;
use sqlx::pool::PoolConnection;

/// Closes the connection, and so rolls back, when its user is dropped before it has finished: an
/// answer may still be on its way, and while BEGIN is, sqlx knows of no SQL transaction and would
/// hand it open to the next user.
pub(crate) struct CloseUnlessFinished<'a> {
    conn: &'a mut PoolConnection<MySql>,
    finished: bool,
}

impl<'a> CloseUnlessFinished<'a> {
    /// The connection in use.
    pub fn new(conn: &'a mut PoolConnection<MySql>) -> Self {
        Self {
            conn,
            finished: false,
        }
    }

    /// The connection.
    pub fn conn(&mut self) -> &mut MySqlConnection {
        self.conn
    }

    /// It may go back to its pool.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for CloseUnlessFinished<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.conn.close_on_drop();
        }
    }
}
