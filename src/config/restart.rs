//! What of the configuration can change while the gate runs, and what cannot.

use super::Config;

/// What needs a restart when it changes, for people.
pub const NEEDS_A_RESTART: &str =
    "listener (but its certificates), admin, journal, ship, store, log and otlp";

impl Config {
    /// Takes from the running configuration what cannot change while the gate runs, and says what would have changed.
    pub fn keep_what_needs_a_restart(&mut self, running: &Self) -> Vec<&'static str> {
        let mut kept = Vec::new();
        let mut keep = |differs, key| {
            if differs {
                kept.push(key);
            }
        };
        let (new, old) = (&self.listener, &running.listener);
        keep(new.listen != old.listen, "listener.listen");
        keep(new.workers != old.workers, "listener.workers");
        let switched = new.tls.is_some() != old.tls.is_some();
        keep(switched, "listener.tls");
        let mut listener = old.clone();
        if !switched {
            listener.tls.clone_from(&new.tls);
        }
        let others = listener.clone();
        let mut rest = new.clone();
        (rest.listen, rest.workers) = (others.listen, others.workers);
        rest.tls.clone_from(&others.tls);
        keep(rest != others, "listener");
        keep(self.admin != running.admin, "admin");
        keep(self.console != running.console, "console");
        keep(
            self.journal.directory != running.journal.directory,
            "journal.directory",
        );
        let mut journal = self.journal.clone();
        journal.directory.clone_from(&running.journal.directory);
        keep(journal != running.journal, "journal");
        keep(self.ship != running.ship, "ship");
        keep(self.store != running.store, "store");
        keep(self.log != running.log, "log");
        keep(self.otlp != running.otlp, "otlp");
        self.listener = listener;
        self.admin = running.admin.clone();
        self.console.clone_from(&running.console);
        self.journal = running.journal.clone();
        self.ship = running.ship.clone();
        self.store.clone_from(&running.store);
        self.log = running.log.clone();
        self.otlp.clone_from(&running.otlp);
        kept
    }

    /// The sections that are not as they were, of those that can change while the gate runs.
    pub fn changed_since(&self, running: &Self) -> Vec<&'static str> {
        let sections = [
            (self.credential != running.credential, "credential"),
            (self.endpoints != running.endpoints, "endpoints"),
            (self.environments != running.environments, "environments"),
            (self.grants != running.grants, "grants"),
            (self.identity != running.identity, "identity"),
            (self.limits != running.limits, "limits"),
            (self.listener.tls != running.listener.tls, "listener.tls"),
            (self.lookup != running.lookup, "lookup"),
            (
                self.policies.judging() != running.policies.judging(),
                "policies",
            ),
            (
                self.policies.challenger != running.policies.challenger,
                "policies.challenger",
            ),
            (self.reload != running.reload, "reload"),
            (
                self.unknown_writes != running.unknown_writes,
                "unknown_writes",
            ),
            (self.upstream != running.upstream, "upstream"),
        ];
        let changed = sections.into_iter().filter(|(differs, _)| *differs);
        changed.map(|(_, section)| section).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_told() {
        let running = config("[listener]\nworkers = 1\n[upstream]\nurl = \"http://a\"\n");
        let wanted = "[listener]\nlisten = \"127.0.0.1:1\"\nworkers = 2\nidle_timeout = \"1s\"\n\
                      [admin]\nlisten = \"127.0.0.1:2\"\n[journal]\ndirectory = \"other\"\ntimeout = \"1s\"\n\
                      [log]\nformat = \"json\"\n[upstream]\nurl = \"http://b\"\n[limits]\nbody = \"1 KiB\"\n";
        let mut new = config(wanted);
        let kept = new.keep_what_needs_a_restart(&running);
        assert_eq!(
            kept,
            [
                "listener.listen",
                "listener.workers",
                "listener",
                "admin",
                "journal.directory",
                "journal",
                "log"
            ]
        );
        assert_eq!(new.changed_since(&running), ["limits", "upstream"]);
        assert_eq!(new.listener, running.listener);
        assert_eq!(new.keep_what_needs_a_restart(&running), [""; 0]);
    }

    #[test]
    fn certificates_can_change_while_the_rest_of_the_listener_cannot() {
        let files = |name: &str| {
            config(&format!(
                "[listener.tls.files]\ncertificate = \"{name}\"\nkey = \"k\"\n"
            ))
        };
        let running = files("c");
        let mut new = files("d");
        assert_eq!(new.keep_what_needs_a_restart(&running), [""; 0]);
        assert_eq!(new.changed_since(&running), ["listener.tls"]);
        // It cannot be switched on or off.
        let mut off = config("");
        assert_eq!(off.keep_what_needs_a_restart(&running), ["listener.tls"]);
        assert_eq!(off.listener, running.listener);
    }
}
