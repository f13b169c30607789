//! Named points between the rounds at which tests stop or kill the process. Without the feature
//! `failpoints` nothing of this is in the program.
//!
//! The environment variable `HOLDFAST_FAULTS` arms them: `name=action,name=action`, where an action
//! is `abort` (the process dies there) or what fail-parallel understands (`pause`, `sleep(50)`,
//! `1*abort`, `20%abort`).

#[cfg(feature = "failpoints")]
use std::sync::Arc;

/// The armed fault points of one coordinator.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    #[cfg(feature = "failpoints")]
    registry: Arc<fail_parallel::FailPointRegistry>,
}

#[cfg(not(feature = "failpoints"))]
impl Faults {
    /// No fault points: they are not in this program.
    pub fn from_env() -> Self {
        Self::default()
    }

    /// Goes on.
    #[expect(clippy::unused_async, reason = "the armed form waits here")]
    pub async fn point(&self, _name: &str) {}

    /// Never.
    pub fn is_armed(&self, _name: &str) -> bool {
        false
    }
}

#[cfg(feature = "failpoints")]
impl Faults {
    /// The points that `HOLDFAST_FAULTS` arms.
    ///
    /// # Panics
    /// When it cannot be understood: a test that arms nothing would prove nothing.
    pub fn from_env() -> Self {
        let faults = Self::default();
        let list = std::env::var("HOLDFAST_FAULTS").unwrap_or_default();
        for pair in list.split(',').filter(|pair| !pair.is_empty()) {
            let (name, action) = pair.split_once('=').unwrap_or((pair, "abort"));
            faults.arm(name.trim(), action.trim());
        }
        faults
    }

    /// Arms a point.
    ///
    /// # Panics
    /// When the action cannot be understood.
    pub fn arm(&self, name: &str, action: &str) {
        let action = action.replace("abort", "return(abort)");
        if let Err(error) = fail_parallel::cfg(self.registry.clone(), name, &action) {
            panic!("fault point {name}={action}: {error}");
        }
    }

    /// Disarms a point; whoever is paused there goes on.
    pub fn disarm(&self, name: &str) {
        fail_parallel::remove(self.registry.clone(), name);
    }

    /// Does what the point is armed for, if it is.
    pub async fn point(&self, name: &str) {
        let die = |_action: Option<String>| {
            tracing::error!(point = name, "dying at a fault point");
            std::process::abort()
        };
        fail_parallel::eval_async(self.registry.clone(), name, die).await;
    }

    /// Whether the point is armed.
    pub fn is_armed(&self, name: &str) -> bool {
        fail_parallel::list(self.registry.clone())
            .iter()
            .any(|(armed, _)| armed == name)
    }
}
