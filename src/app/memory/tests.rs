use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::app::load::sources;
use crate::policy::build::{Recipe, build};

/// A gate's places, with bundles in files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, name: &str, more: &str) -> Config {
        let text = format!(
            "upstream.url = 'http://127.0.0.1:1'\njournal.directory = '{}'\n[policies]\nstate = '{}'\n{more}\n\
             bundles.{name}.file = '{}'\n",
            self.path("journal").display(),
            self.path("state").display(),
            self.path("b.tar.gz").display()
        );
        toml::from_str(&text).unwrap()
    }

    fn put(&self, sequence: Option<u64>, root: &str) {
        let source = self.path(&format!("{sequence:?}-{root}"));
        std::fs::create_dir_all(&source).unwrap();
        let rego = format!("package dtgate.{root}\n\ndeny contains \"{sequence:?}\" if false\n");
        std::fs::write(source.join("a.rego"), rego).unwrap();
        let recipe = Recipe {
            sequence,
            roots: vec![format!("dtgate/{root}")],
            ..Recipe::default()
        };
        let built = build(&[source], &recipe, Path::new("b")).unwrap();
        std::fs::write(self.path("b.tar.gz"), built.bytes).unwrap();
    }
}

fn load(config: &Config) -> Result<Policy, String> {
    let sources = sources(config).unwrap();
    let loaded = Policy::load_all(&sources, config.policies.time_limit.into());
    loaded.map_err(|error| error.to_string())
}

/// What is said of what is there; without a word it is in force from here on.
fn taken(config: &Config) -> String {
    match load(config) {
        Ok(policy) => {
            generations::keep(config, &policy);
            remember(config, &policy).unwrap();
            String::new()
        }
        Err(error) => error,
    }
}

/// A backup of the state, or a fault between the swap and the writing of it, opened the way back.
#[test]
fn a_state_that_was_set_back_opens_no_way_back() {
    let place = Place::new();
    let config = place.config("platform", "");
    let state = place.path("state/platform.json");
    place.put(Some(1), "a");
    assert_eq!(taken(&config), "");
    let old = std::fs::read(&state).unwrap();
    place.put(Some(2), "a");
    assert_eq!(taken(&config), "");
    std::fs::write(&state, &old).unwrap();
    place.put(Some(1), "a");
    let refused = taken(&config);
    assert!(
        refused.contains("its sequence is 1, and 2 was in force already"),
        "{refused}"
    );
    // On purpose, and from then on without a reason.
    let back = place.config("platform", "allow_rollback = 'incident 4711'");
    assert_eq!(taken(&back), "");
    assert_eq!(taken(&config), "");
    // Sets without the bundle change nothing.
    place.put(Some(7), "b");
    assert_eq!(taken(&place.config("other", "")), "");
    std::fs::write(&state, &old).unwrap();
    place.put(Some(0), "a");
    assert!(taken(&config).contains("its sequence is 0, and 1 was"));
}

#[test]
fn the_set_that_is_put_in_force_is_the_newest_whatever_the_clock_says() {
    let place = Place::new();
    let config = place.config("platform", "allow_rollback = 'a test'");
    let journal = place.path("journal");
    for sequence in [1, 2, 1, 2, 1] {
        place.put(Some(sequence), "a");
        assert_eq!(taken(&config), "");
        let newest = generations::last_releases(&journal);
        assert_eq!(newest[0].sequence, Some(sequence));
        // Somebody sets the clock back an hour.
        for (path, _, modified) in generations::list(&generations::folder(&journal)).unwrap() {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let later = modified + std::time::Duration::from_hours(1);
            file.set_modified(later).unwrap();
        }
    }
}

#[test]
fn a_bundle_under_another_name_is_measured_by_what_it_takes_the_place_of() {
    let place = Place::new();
    let (one, two) = (place.config("one", ""), place.config("two", ""));
    let back = place.config("two", "allow_rollback = 'another count'");
    place.put(Some(7), "a");
    assert_eq!(without(&one, &load(&one).unwrap(), None).unwrap(), ["one"]);
    assert_eq!(taken(&one), "");
    place.put(Some(6), "a");
    let refused = taken(&two);
    assert!(
        refused.contains("the bundle one, which owned a part of what this one owns, was in force")
            && refused.contains("its sequence is 6, and 7 was in force already"),
        "{refused}"
    );
    place.put(None, "a");
    assert!(taken(&two).contains("it has no sequence, and 7 was in force already"));
    // What owns nothing of it is another bundle.
    place.put(Some(1), "b");
    let other = load(&two).unwrap();
    assert_eq!(without(&two, &other, None).unwrap(), ["two"]);
    // And so it is while the gate runs, whatever could be written.
    std::fs::remove_dir_all(place.path("state")).unwrap();
    std::fs::remove_dir_all(place.path("journal")).unwrap();
    place.put(Some(7), "a");
    let in_force = load(&one).unwrap();
    place.put(Some(6), "a");
    let mut packed = sources(&two).unwrap();
    add(&mut packed.bundles, &mut in_force.releases());
    let limit = two.policies.time_limit.into();
    assert!(Policy::load_all(&packed, limit).is_err());
    let fresh = load(&two).unwrap();
    assert!(without(&two, &fresh, Some(&in_force)).unwrap().is_empty());
    // On purpose: what was gone back to counts.
    place.put(Some(7), "a");
    assert_eq!(taken(&one), "");
    place.put(Some(6), "a");
    assert_eq!(taken(&back), "");
    assert!(!place.path("state/one.json").exists());
    place.put(Some(6), "a");
    assert_eq!(taken(&two), "");
}

/// The message named the file that could not be replaced, and not what stood in its way.
#[test]
fn what_stands_in_the_way_of_the_state_is_named() {
    let place = Place::new();
    let config = place.config("platform", "");
    place.put(Some(1), "a");
    std::fs::create_dir_all(place.path("state/platform.new")).unwrap();
    let error = remember(&config, &load(&config).unwrap()).unwrap_err();
    let said = format!("{error:#}");
    assert!(
        said.starts_with("policies.state: ") && said.contains("platform.new: "),
        "{said}"
    );
}
