//! Work that must not end with the connection that asked for it.
//!
//! A task spawned here runs on when its client hangs up, and a drain waits for it. Knows nothing of what
//! the tasks do.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Counts the detached tasks of a server; clones count into the same total.
#[derive(Clone, Debug, Default)]
pub struct Tracker(TaskTracker);

impl Tracker {
    /// Runs `task` to its end, whether or not anyone awaits the handle.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.spawn(task)
    }

    /// The same on another runtime.
    pub(super) fn spawn_on<F>(&self, task: F, runtime: &Handle)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        drop(self.0.spawn_on(task, runtime));
    }

    /// How many tasks have not ended yet.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns at a moment when no task is running. Tasks may still be added while it waits.
    pub async fn wait(&self) {
        // Closing forbids nothing; it only tells the tracker that somebody waits for it to be empty.
        self.0.close();
        self.0.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_when_the_last_task_has_ended_even_if_its_handle_is_gone() {
        let tracker = Tracker::default();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        drop(tracker.clone().spawn(released));
        assert_eq!(tracker.count(), 1);

        let waiting = tokio::spawn({
            let tracker = tracker.clone();
            async move { tracker.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());

        release.send(()).unwrap();
        waiting.await.unwrap();
        assert_eq!(tracker.count(), 0);
    }
}
