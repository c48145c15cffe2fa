//! The process that judges: begun for one task, and ended when it is late.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::{Answer, Task};
use crate::audit::Stop;
use crate::console::Fault;

/// Has a task done, as long as somebody waits for it. Whatever becomes of the process, it has ended when this returns.
pub(super) fn ask(program: &Path, task: &Task, stop: &Stop) -> Result<Answer, Fault> {
    let task = serde_json::to_vec(task).map_err(|error| Fault::Broken {
        told: "The playground cannot be asked.",
        error: error.to_string(),
    })?;
    let mut command = Command::new(program);
    // It needs nothing of what this process has. Its allocator would take a gigabyte at once, of which no limit knows how
    // much is used.
    let command = command.arg(COMMAND).env_clear().env(COMMIT_LATE, "0");
    let command = command.current_dir("/");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| Fault::Broken {
        told: "The playground needs a process of its own, which cannot be begun.",
        error: error.to_string(),
    })?;
    let said = talk(&mut child, &task, stop);
    // It may have ended: then this does nothing.
    drop(child.kill());
    let ended = child.wait();
    let said = said?;
    let answer = serde_json::from_slice(&said);
    answer.map_err(|_no_answer| match ended {
        _ if said.len() > MOST => Fault::Invalid(format!(
            "The answer is too long: more than {} MiB.",
            MOST >> 20
        )),
        Ok(status) if status.success() => {
            Fault::Failed("The playground gave no answer.".to_owned())
        }
        _ => Fault::Invalid(ENDED.to_owned()),
    })
}

/// Says the task and hears the answer, both at once: neither waits for the other.
fn talk(child: &mut Child, task: &[u8], stop: &Stop) -> Result<Vec<u8>, Fault> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Fault::Failed("The playground has no pipe.".to_owned()));
    };
    std::thread::scope(|scope| {
        let (heard, answer) = channel();
        // It ends with the pipe, also where the process did not listen.
        scope.spawn(move || drop(input.write_all(task)));
        scope.spawn(move || {
            let mut said = Vec::new();
            let most = u64::try_from(MOST).unwrap_or(u64::MAX).saturating_add(1);
            drop(output.take(most).read_to_end(&mut said));
            drop(heard.send(said));
        });
        let ends = Instant::now() + LIMIT;
        let said = loop {
            let said = answer.recv_timeout(LOOK);
            let is_late = stop.is_over() || Instant::now() >= ends;
            if said != Err(RecvTimeoutError::Timeout) || is_late {
                break said;
            }
        };
        drop(child.kill());
        said.map_err(|error| match error {
            RecvTimeoutError::Timeout => Fault::Invalid(LATE.to_owned()),
            RecvTimeoutError::Disconnected => {
                Fault::Failed("The playground gave no answer.".to_owned())
            }
        })
    })
}

/// How the program is called.
const COMMAND: &str = "playground-worker";
const COMMIT_LATE: &str = "MIMALLOC_ARENA_EAGER_COMMIT";
/// How long it may take.
const LIMIT: Duration = Duration::from_mins(1);
/// How often it is asked whether somebody waits for it.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of an answer.
const MOST: usize = 4 << 20;
const LATE: &str = "It took longer than a minute. A rule does too much (look for loops over ranges, or within one another), or this \
                    machine has no time for it now.";
const ENDED: &str = "It took too much memory (more than 160 MiB), or more than 10 seconds of a processor, or is nested too deep. Look \
                     for large collections, loops within one another, and long rows of brackets.";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Wanted;
    use super::*;

    #[test]
    fn it_ends_as_soon_as_nobody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("slow");
        std::fs::write(&program, "#!/bin/sh\nexec /bin/sleep 50\n").unwrap();
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, executable).unwrap();
        let task = Task {
            edited: Vec::new(),
            in_force: None,
            entrypoints: Vec::new(),
            limit_ms: 1,
            wanted: Wanted::Check,
        };
        let (stop, waiting) = Stop::after(Duration::from_hours(1));
        drop(waiting);
        let began = Instant::now();
        assert!(ask(&program, &task, &stop).is_err());
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
