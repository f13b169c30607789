//! A stack in a folder of its own, taken down when the test ends, however it ends.

use stack::{Database, Stack, StackOptions};

pub struct OwnStack {
    pub stack: Stack,
    folder: tempfile::TempDir,
}

impl OwnStack {
    pub async fn with(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StackOptions {
            database: Some(database),
            bin_dir: None,
        };
        let stack = Stack::create(folder.path(), options).await.unwrap();
        Self { stack, folder }
    }

    #[allow(dead_code, reason = "not every test file needs it")]
    pub fn root(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        let stack = self.stack.clone();
        let taking_down = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(stack.down())
        });
        let _ = taking_down.join();
    }
}
