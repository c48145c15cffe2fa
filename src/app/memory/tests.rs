use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
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

    /// One without policies.
    fn put_data(&self, sequence: u64, root: &str) {
        let manifest = format!(
            "{{\"roots\": [\"dtgate/{root}\"], \"metadata\": {{\"dtgate\": {{\"sequence\": {sequence}}}}}}}"
        );
        let file = std::fs::File::create(self.path("b.tar.gz")).unwrap();
        let packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let mut archive = tar::Builder::new(packed);
        let mut header = tar::Header::new_gnu();
        header.set_size(manifest.len() as u64);
        header.set_mode(0o600);
        let added = archive.append_data(&mut header, ".manifest", manifest.as_bytes());
        added.unwrap();
        archive.into_inner().unwrap().finish().unwrap();
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
        let newest = generations::releases(&journal).unwrap();
        assert_eq!(newest[0].sequence, Some(sequence));
        // Somebody sets the clock back an hour.
        for (path, _, modified) in generations::list(&generations::folder(&journal)).unwrap() {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let later = modified + std::time::Duration::from_hours(1);
            file.set_modified(later).unwrap();
        }
    }
}

/// What somebody went back to on purpose was refused again where its set could not be kept, or the journal was copied.
#[test]
fn what_was_gone_back_from_on_purpose_counts_no_more() {
    for is_kept in [false, true] {
        let place = Place::new();
        let config = place.config("platform", "");
        let back = place.config("platform", "allow_rollback = 'incident 4711'");
        place.put(Some(9), "a");
        assert_eq!(taken(&config), "");
        place.put(Some(7), "a");
        let policy = load(&back).unwrap();
        if is_kept {
            generations::keep(&back, &policy);
        }
        remember(&back, &policy).unwrap();
        // Copied, and the older one first.
        let folder = generations::folder(&place.path("journal"));
        for (number, (path, ..)) in generations::list(&folder).unwrap().into_iter().enumerate() {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let later = std::time::Duration::from_hours(600_000 + number as u64);
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + later)
                .unwrap();
        }
        assert_eq!(taken(&config), "");
        place.put(Some(6), "a");
        assert!(taken(&config).contains("its sequence is 6, and 7 was"));
        // What came behind it counts, also for a state that was set back.
        let old = std::fs::read(place.path("state/platform.json")).unwrap();
        place.put(Some(10), "a");
        assert_eq!(taken(&config), "");
        std::fs::write(place.path("state/platform.json"), old).unwrap();
        place.put(Some(8), "a");
        assert!(taken(&config).contains("its sequence is 8, and 10 was"));
    }
}

/// One way back on purpose opened it for all kept sets below that number, for ever.
#[test]
fn what_was_gone_back_from_counts_again_when_it_is_in_force_again() {
    let place = Place::new();
    let config = place.config("platform", "");
    let back = place.config("platform", "allow_rollback = 'incident 4711'");
    let state = place.path("state/platform.json");
    for (sequence, config) in [(3, &config), (2, &back), (3, &config)] {
        place.put(Some(sequence), "a");
        assert_eq!(taken(config), "");
    }
    std::fs::remove_file(&state).unwrap();
    place.put(Some(1), "a");
    assert!(taken(&config).contains("its sequence is 1, and 3 was"));
}

#[test]
fn what_is_in_force_after_a_way_back_counts_whatever_number_was_left() {
    let place = Place::new();
    let config = place.config("platform", "");
    let back = place.config("platform", "allow_rollback = 'incident 4711'");
    // Of those between, each was left.
    for (sequence, config) in [(8, &config), (9, &config), (7, &back), (7, &config)] {
        place.put(Some(sequence), "a");
        assert_eq!(taken(config), "");
    }
    let old = files(&place.path("state"));
    // Another 8.
    place.put(Some(8), "a");
    let source = place.path(&format!("{:?}-a", Some(8)));
    std::fs::write(
        source.join("b.rego"),
        "package dtgate.a\n\ndeny contains \"more\" if false\n",
    )
    .unwrap();
    let recipe = Recipe {
        sequence: Some(8),
        roots: vec!["dtgate/a".to_owned()],
        ..Recipe::default()
    };
    let built = build(&[source], &recipe, Path::new("b")).unwrap();
    std::fs::write(place.path("b.tar.gz"), built.bytes).unwrap();
    assert_eq!(taken(&config), "");
    for (name, text) in old {
        std::fs::write(place.path("state").join(name), text).unwrap();
    }
    place.put(Some(7), "a");
    let refused = taken(&config);
    assert!(
        refused.contains("its sequence is 7, and 8 was"),
        "{refused}"
    );
    // An earlier build knew the highest number only: it hides nothing.
    std::fs::write(place.path("state/went.back.json"), "{\"platform\": 9}\n").unwrap();
    assert!(taken(&config).contains("its sequence is 7, and 9 was"));
    assert_eq!(taken(&back), "");
    assert_eq!(taken(&config), "");
}

/// A backup of the whole state opened the way back, as what it says was in force was asked first.
#[test]
fn a_state_that_was_set_back_to_before_a_rename_opens_no_way_back() {
    for is_copied in [false, true] {
        let place = Place::new();
        let (one, two) = (place.config("one", ""), place.config("two", ""));
        let state = place.path("state");
        place.put(Some(7), "a");
        assert_eq!(taken(&one), "");
        let old: Vec<_> = files(&state);
        place.put(Some(9), "a");
        assert_eq!(taken(&two), "");
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        for (name, text) in old {
            // Some of it, or all.
            if is_copied || name != "went.back.json" {
                std::fs::write(state.join(name), text).unwrap();
            }
        }
        nothing_below_nine_is_taken(&place, &one);
        place.put(Some(9), "a");
        assert_eq!(taken(&two), "");
        assert_eq!(taken(&one), "");
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let found = std::fs::read_dir(folder).into_iter().flatten();
    let found = found.map(|entry| entry.unwrap().path());
    let named = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Some((name, std::fs::read(path).ok()?))
    };
    found.filter_map(named).collect()
}

/// Without what was gone back from, the highest of the kept sets counts: a state that has lost it, or is of a build that
/// did not write it, opened the way back.
#[test]
fn a_state_without_what_was_gone_back_from_opens_no_way_back() {
    let place = Place::new();
    let config = place.config("platform", "");
    for sequence in [9, 7] {
        place.put(Some(sequence), "a");
        let policy = load(&place.config("platform", "allow_rollback = 'a test'")).unwrap();
        generations::keep(&config, &policy);
        remember(&config, &policy).unwrap();
    }
    std::fs::remove_file(place.path("state/went.back.json")).unwrap();
    // Who has gone back says why once more.
    assert!(taken(&config).contains("its sequence is 7, and 9 was"));
    let back = place.config("platform", "allow_rollback = 'incident 4711'");
    assert_eq!(taken(&back), "");
    assert!(place.path("state/went.back.json").exists());
    assert_eq!(taken(&config), "");
    // It did not say what a bundle owned: it may be anything.
    let unknown = |name: &str, sequence: u64| {
        let text = format!("{{\"digest\": \"00\", \"sequence\": {sequence}}}");
        std::fs::write(place.path(&format!("state/{name}.json")), text).unwrap();
    };
    unknown("team", 5);
    assert_eq!(taken(&config), "");
    place.put(Some(3), "b");
    assert!(taken(&place.config("team", "")).contains("its sequence is 3, and 5 was"));
    unknown("old", 20);
    place.put(Some(9), "a");
    assert!(taken(&config).contains("the bundle old, which"));
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
    add(&mut packed.bundles[0].before, &in_force);
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

/// Two bundles that change their names leave nothing: it counted as a way back, and opened one.
#[test]
fn bundles_that_change_their_names_with_each_other_open_no_way_back() {
    let place = Place::new();
    let told = |name: &'static str, root: &'static str, sequence: u64| Told {
        name,
        root,
        sequence,
    };
    let take = |given: &[Told]| taken(&config_of(&place, given, false));
    assert_eq!(take(&[told("one", "a", 3), told("two", "b", 7)]), "");
    let swapped = [told("one", "b", 7), told("two", "a", 3)];
    assert_eq!(take(&swapped), "");
    let left = std::fs::read_to_string(place.path("state/went.back.json"));
    assert!(!left.unwrap_or_default().contains("sequence"));
    let all = files(&place.path("state"));
    // Whatever is lost of the state.
    for lost in [&["one.json"][..], &["two.json"], &["one.json", "two.json"]] {
        for name in lost {
            std::fs::remove_file(place.path(&format!("state/{name}"))).unwrap();
        }
        let refused = take(&[told("one", "b", 5), told("two", "a", 3)]);
        assert!(
            refused.contains("its sequence is 5, and 7 was"),
            "{lost:?}: {refused}"
        );
        let refused = take(&[told("one", "b", 7), told("two", "a", 2)]);
        assert!(
            refused.contains("its sequence is 2, and "),
            "{lost:?}: {refused}"
        );
        for (name, text) in &all {
            std::fs::write(place.path(&format!("state/{name}")), text).unwrap();
        }
    }
    // Each goes on from its own number, and from then on what had its name before does not count.
    assert_eq!(take(&[told("one", "b", 7), told("two", "a", 4)]), "");
    assert_eq!(take(&[told("one", "b", 8), told("two", "a", 4)]), "");
    assert_eq!(take(&[told("one", "b", 8), told("two", "a", 5)]), "");
    for (b, a) in [(7, 5), (8, 4)] {
        let refused = take(&[told("one", "b", b), told("two", "a", a)]);
        assert!(refused.contains("was in force already"), "{refused}");
    }
}

/// The bundle two was in force with 9, where this one is.
fn nothing_below_nine_is_taken(place: &Place, one: &Config) {
    for sequence in [7, 8] {
        place.put(Some(sequence), "a");
        let refused = taken(one);
        assert!(
            refused.contains("the bundle two, which owned") && refused.contains("and 9 was"),
            "{refused}"
        );
    }
}

/// It was measured by what had that name long ago.
#[test]
fn a_bundle_that_gets_an_old_name_back_is_measured_by_what_was_in_force_last() {
    let place = Place::new();
    let (one, two) = (place.config("one", ""), place.config("two", ""));
    place.put(Some(7), "a");
    assert_eq!(taken(&one), "");
    place.put(Some(9), "a");
    assert_eq!(taken(&two), "");
    nothing_below_nine_is_taken(&place, &one);
    place.put(Some(9), "a");
    assert_eq!(taken(&one), "");
}

/// All policies of a bundle went away, and nobody said a word.
#[test]
fn a_bundle_that_loses_all_its_policies_needs_a_reason() {
    let place = Place::new();
    std::fs::create_dir(place.path("policies")).unwrap();
    let beside = "package dtgate.beside\n\ndeny contains \"x\" if false\n";
    std::fs::write(place.path("policies/a.rego"), beside).unwrap();
    let more = |more: &str| {
        let directory = place.path("policies");
        format!("directory = '{}'\n{more}", directory.display())
    };
    let config = place.config("one", &more(""));
    place.put(Some(1), "a");
    assert_eq!(taken(&config), "");
    place.put_data(2, "a");
    let refused = taken(&config);
    assert!(
        refused.contains("it has no Rego, and what was in force had some"),
        "{refused}"
    );
    assert_eq!(
        taken(&place.config("one", &more("allow_rollback = 'a test'"))),
        ""
    );
    place.put_data(3, "a");
    assert_eq!(taken(&config), "");
}

/// What the model knows of a bundle.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    name: &'static str,
    root: &'static str,
    sequence: u64,
}

/// What happens to a gate with two bundles.
#[derive(Clone, Debug)]
enum Happens {
    /// Bundles are given under these names, and taken or not, by a start or by a gate that runs.
    Given(Vec<Told>, Option<()>, bool),
    StateIsLost,
    KeptAreLost,
    /// All kept sets get another age.
    KeptAreCopied,
    StateIsCopied,
    /// The copy takes its place.
    StateIsSetBack,
    WentBackIsLost,
    /// Of one bundle.
    FileIsLost(&'static str),
}

fn happens() -> impl Strategy<Value = Happens> {
    let told = |name: &'static str| {
        let some = (prop::sample::select(vec!["a", "b"]), 1_u64..6);
        prop::option::weighted(0.8, some).prop_map(move |some| {
            some.map(|(root, sequence)| Told {
                name,
                root,
                sequence,
            })
        })
    };
    let given = (
        told("one"),
        told("two"),
        prop::option::weighted(0.15, Just(())),
        any::<bool>(),
    );
    let given = given.prop_filter_map("roots overlap", |(one, two, back, runs)| {
        let given: Vec<Told> = one.into_iter().chain(two).collect();
        let is_one = matches!(given.as_slice(), [_]);
        let holds = is_one || matches!(given.as_slice(), [one, two] if one.root != two.root);
        holds.then_some(Happens::Given(given, back, runs))
    });
    prop_oneof![
        12 => given,
        1 => Just(Happens::StateIsLost),
        1 => Just(Happens::KeptAreLost),
        1 => Just(Happens::KeptAreCopied),
        2 => Just(Happens::StateIsCopied),
        2 => Just(Happens::StateIsSetBack),
        1 => Just(Happens::WentBackIsLost),
        1 => prop::sample::select(vec!["one", "two"]).prop_map(Happens::FileIsLost),
    ]
}

/// What a plain list says: what was in force under each name last, since somebody went back from it on purpose.
#[derive(Default)]
struct Model {
    last: Vec<Told>,
    in_force: Vec<Told>,
    /// Sets: the same policies, whatever their bundles are called, are kept once.
    kept: Vec<Vec<Told>>,
    /// As much of the list as the state says by itself, and the same of its copy.
    in_state: Vec<Told>,
    /// What was gone back from.
    left: Vec<Told>,
    copied: Option<(Vec<Told>, Vec<Told>)>,
    /// The highest sequence of all.
    highest: u64,
    has_state: bool,
    /// It may not know what was gone back from.
    is_set_back: bool,
    /// Something is in force that is older than what was, or than a copy of the state says.
    went_back: bool,
}

impl Model {
    fn is_in_force(&self, told: &Told) -> bool {
        let mut in_force = self.in_force.iter();
        in_force.any(|it| (it.root, it.sequence) == (told.root, told.sequence))
    }

    fn is_older(&self, told: &Told) -> bool {
        self.last.iter().any(|it| Self::refuses(it, told))
    }

    /// Whether it refuses that.
    fn refuses(known: &Told, told: &Told) -> bool {
        let is_other = known.sequence == told.sequence && known.root != told.root;
        Self::concerns(known, told) && (known.sequence > told.sequence || is_other)
    }

    fn concerns(known: &Told, told: &Told) -> bool {
        known.name == told.name || known.root == told.root
    }

    fn was_left(&self, told: &Told) -> bool {
        let mut left = self.left.iter();
        left.any(|it| it == told)
    }

    /// What is given comes in the place of what it is older than, on purpose.
    fn leave(&mut self, given: &[Told]) {
        let is_again = |it: &Told| {
            let mut given = given.iter();
            given.any(|told| Self::concerns(it, told) && told.sequence >= it.sequence)
        };
        self.left.retain(|it| !is_again(it));
        let known = self.kept.iter().flatten().chain(&self.in_state);
        let is_given = |it: &Told| {
            let mut given = given.iter();
            given.any(|told| (it.root, it.sequence) == (told.root, told.sequence))
        };
        let known = known.filter(|it| !is_given(it));
        let known = known.filter(|it| given.iter().any(|told| Self::refuses(it, told)));
        let known: Vec<Told> = known.cloned().collect();
        self.left.extend(known);
    }

    fn take(&mut self, given: &[Told]) {
        self.leave(given);
        let is_left = |it: &Told| {
            let mut given = given.iter();
            !given.any(|told| {
                let is_older = it.root == told.root && it.sequence > told.sequence;
                it.name == told.name || is_older
            })
        };
        for list in [&mut self.last, &mut self.in_state] {
            list.retain(is_left);
            list.extend_from_slice(given);
        }
        self.in_force = given.to_vec();
        let highest = given.iter().map(|it| it.sequence).max().unwrap_or_default();
        self.highest = self.highest.max(highest);
        let policies = |set: &[Told]| {
            let mut all: Vec<_> = set.iter().map(|it| (it.root, it.sequence)).collect();
            all.sort_unstable();
            all
        };
        self.kept.retain(|set| policies(set) != policies(given));
        self.kept.push(given.to_vec());
        self.has_state = true;
        self.is_set_back = false;
    }

    /// The copy of the state is in its place. What it says was gone back from is not known by the kept sets.
    fn set_back(&mut self, (state, left): (Vec<Told>, Vec<Told>)) {
        self.left = left;
        let mut known = state.clone();
        let kept = self.kept.iter().flatten();
        known.extend(kept.filter(|it| !self.was_left(it)).cloned());
        self.last.retain(|it| known.contains(it));
        self.in_force.retain(|it| known.contains(it));
        self.in_state = state;
        self.has_state = true;
        self.is_set_back = true;
    }
}

fn config_of(place: &Place, given: &[Told], back: bool) -> Config {
    let mut text = format!(
        "upstream.url = 'http://127.0.0.1:1'\njournal.directory = '{}'\n[policies]\nstate = '{}'\n",
        place.path("journal").display(),
        place.path("state").display()
    );
    if back {
        text.push_str("allow_rollback = 'a test'\n");
    }
    for told in given {
        place.put(Some(told.sequence), told.root);
        let file = place.path(&format!("{}.tar.gz", told.name));
        std::fs::rename(place.path("b.tar.gz"), &file).unwrap();
        let file = file.display();
        writeln!(text, "bundles.{}.file = '{file}'", told.name).unwrap();
    }
    toml::from_str(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn nothing_older_is_in_force_and_what_is_stays_whatever_happens(all in prop::collection::vec(happens(), 1..14)) {
        let place = Place::new();
        let mut model = Model::default();
        let mut running: Option<Policy> = None;
        for one in all {
            let (given, back, runs) = match one {
                Happens::StateIsLost => {
                    let _none = std::fs::remove_dir_all(place.path("state"));
                    model.has_state = false;
                    model.in_state.clear();
                    model.left.clear();
                    running = None;
                    let kept = model.kept.concat();
                    model.last.retain(|it| kept.contains(it));
                    model.in_force.retain(|it| kept.contains(it));
                    (Vec::new(), false, false)
                }
                Happens::KeptAreLost => {
                    let _none = std::fs::remove_dir_all(place.path("journal"));
                    model.kept.clear();
                    let known = model.in_state.clone();
                    model.last.retain(|it| known.contains(it));
                    (Vec::new(), false, false)
                }
                Happens::KeptAreCopied => {
                    let folder = generations::folder(&place.path("journal"));
                    for (number, (path, ..)) in generations::list(&folder).into_iter().flatten().enumerate() {
                        let file = std::fs::File::options().write(true).open(path).unwrap();
                        let age = std::time::Duration::from_hours(600_000 + number as u64);
                        file.set_modified(std::time::SystemTime::UNIX_EPOCH + age).unwrap();
                    }
                    (Vec::new(), false, false)
                }
                Happens::StateIsCopied => {
                    if model.has_state {
                        let _none = std::fs::remove_dir_all(place.path("copy"));
                        std::fs::create_dir(place.path("copy")).unwrap();
                        for (name, text) in files(&place.path("state")) {
                            std::fs::write(place.path("copy").join(name), text).unwrap();
                        }
                        model.copied = Some((model.in_state.clone(), model.left.clone()));
                    }
                    (Vec::new(), false, false)
                }
                Happens::StateIsSetBack => {
                    if let Some(copied) = model.copied.take() {
                        let _none = std::fs::remove_dir_all(place.path("state"));
                        std::fs::rename(place.path("copy"), place.path("state")).unwrap();
                        model.set_back(copied);
                        running = None;
                    }
                    (Vec::new(), false, false)
                }
                Happens::WentBackIsLost => {
                    let _none = std::fs::remove_file(place.path("state/went.back.json"));
                    model.left.clear();
                    model.is_set_back = true;
                    (Vec::new(), false, false)
                }
                Happens::FileIsLost(name) => {
                    let file = place.path(&format!("state/{name}.json"));
                    if std::fs::remove_file(file).is_ok() {
                        let rest = model.in_state.iter().filter(|it| it.name != name);
                        let rest = rest.cloned().collect();
                        model.set_back((rest, model.left.clone()));
                        running = None;
                    }
                    (Vec::new(), false, false)
                }
                Happens::Given(given, back, runs) => (given, back.is_some(), runs),
            };
            if !model.has_state {
                let kept = model.kept.concat();
                model.last.retain(|it| kept.contains(it));
                model.in_force.retain(|it| kept.contains(it));
            }
            let in_force = model.in_force.clone();
            // What is in force stays, with a restart or without.
            if !in_force.is_empty() && (model.has_state && !model.is_set_back || !model.went_back) {
                let again = load(&config_of(&place, &in_force, false));
                prop_assert!(again.is_ok(), "{in_force:?} {again:?}");
            }
            if given.is_empty() {
                continue;
            }
            let config = config_of(&place, &given, back);
            let mut packed = sources(&config).unwrap();
            if let Some(running) = running.as_ref().filter(|_| runs && !back) {
                for bundle in &mut packed.bundles {
                    add(&mut bundle.before, running);
                }
            }
            let loaded = Policy::load_all(&packed, config.policies.time_limit.into());
            let is_older = given.iter().any(|told| model.is_older(told));
            let is_refused = |told: &Told| model.is_older(told) && !model.is_in_force(told);
            let is_refused = !back && given.iter().any(is_refused);
            match loaded {
                Ok(policy) => {
                    prop_assert!(!is_refused, "{given:?} after {:?}", model.last);
                    let copied = model.copied.iter().flat_map(|(state, _)| state);
                    let mut pairs = copied.flat_map(|it| given.iter().map(move |told| (it, told)));
                    model.went_back |= is_older || pairs.any(|(it, told)| Model::refuses(it, told));
                    remember(&config, &policy).unwrap();
                    generations::keep(&config, &policy);
                    model.take(&given);
                    running = Some(policy);
                }
                Err(error) => {
                    prop_assert!(!back, "{given:?}: {error}");
                    let is_newer = given.iter().all(|told| told.sequence > model.highest);
                    prop_assert!(!is_newer, "{given:?}: {error}");
                }
            }
        }
    }
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
