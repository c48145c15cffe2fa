//! What is not among the lines of a history.

use std::io::Write;

use crate::value::counted;

/// What is not among the lines, and what is in doubt.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub(super) denied: usize,
    pub(super) unchanging: usize,
    pub(super) doubtful: usize,
}

impl Hidden {
    pub(super) fn say(&self, out: &mut impl Write) -> anyhow::Result<()> {
        if self.doubtful > 0 {
            let changes = counted(self.doubtful, "change");
            writeln!(
                out,
                "{changes} in doubt: dtgate audit settle looks what became of them."
            )?;
        }
        let denied = (self.denied > 0).then(|| counted(self.denied, "denied request"));
        let unchanging = (self.unchanging > 0)
            .then(|| counted(self.unchanging, "request") + " that changed nothing");
        let hidden: Vec<String> = denied.into_iter().chain(unchanging).collect();
        if !hidden.is_empty() {
            writeln!(out, "Not shown: {}. --all shows them.", hidden.join(", "))?;
        }
        Ok(())
    }
}
