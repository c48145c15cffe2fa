//! `dtgate policies show`: sets of policies that were in force, and what was in them.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use crate::app::{self, generations};
use crate::cli::audit::table::{Table, terminal};
use crate::cli::audit::times::Times;
use crate::cli::place::JOURNAL;
use crate::cli::{Format, print_json};
use crate::policy::{Generation, Policy};
use crate::value::{Visible, VisibleLines, counted, rfc3339_millis, unread, unwritten};

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The revision, as records have it (`policy_revision`), or its first digits; without it, all are listed
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
    /// Print one file of it
    #[arg(
        long,
        value_name = "NAME",
        requires = "digest",
        conflicts_with = "extract"
    )]
    file: Option<String>,
    /// Write its files into a directory, which is made
    #[arg(long, value_name = "DIR", requires = "digest")]
    extract: Option<PathBuf>,
    #[command(flatten)]
    from: Kept,
    #[command(flatten)]
    times: Times,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

/// Where sets are that were in force.
#[derive(Debug, Args)]
pub(super) struct Kept {
    /// Directory of the journal
    #[arg(long, value_name = "DIR", default_value = "journal")]
    journal: PathBuf,
}

impl Kept {
    /// The file of a revision.
    pub(super) fn find(&self, digest: &str) -> anyhow::Result<PathBuf> {
        let shown = Visible(digest);
        let is_digest = digest
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_digest || digest.len() < SHORTEST {
            bail!(
                "{shown} is no revision of policies: write the hexadecimal digits that records have, {SHORTEST} of them or more"
            );
        }
        let all = self.all()?;
        let mut found = all
            .iter()
            .filter(|(path, ..)| revision(path).starts_with(digest));
        match (found.next(), found.next()) {
            (Some((path, ..)), None) => Ok(path.clone()),
            (Some(_), Some(_)) => {
                bail!("more than one revision begins with {shown}: write more digits of it")
            }
            (None, _) => bail!(
                "no policies with the revision {shown} are kept in {}: dtgate policies show lists those that are",
                generations::folder(&self.journal).display()
            ),
        }
    }

    /// Those that were in force, and then those that were asked as challengers only.
    fn all(&self) -> anyhow::Result<Vec<(PathBuf, u64, std::time::SystemTime)>> {
        let mut all = self.within(&generations::folder(&self.journal))?;
        let is_new = |path: &Path| {
            !all.iter()
                .any(|(it, ..)| it.file_name() == path.file_name())
        };
        let mut challengers = self.within(&generations::challengers(&self.journal))?;
        challengers.retain(|(path, ..)| is_new(path));
        all.append(&mut challengers);
        Ok(all)
    }

    fn is_challenger(&self, path: &Path) -> bool {
        path.starts_with(generations::challengers(&self.journal))
    }

    fn within(&self, folder: &Path) -> anyhow::Result<Vec<(PathBuf, u64, std::time::SystemTime)>> {
        if self.journal == Path::new("journal") {
            JOURNAL.expect(&self.journal, None)?;
        }
        match generations::list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.journal.exists() => {
                Ok(Vec::new())
            }
            found => found.map_err(|error| anyhow!("{}: {}", folder.display(), unread(&error))),
        }
    }
}

/// Digits of a revision, so that nobody means another one.
const SHORTEST: usize = 6;

/// That a file is named by.
fn revision(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(generations::ENDING).to_owned()
}

/// Whether the file that was found by a revision is the set of that.
pub(super) fn is_it(path: &Path, found: &str) -> anyhow::Result<()> {
    if found != revision(path) {
        bail!(
            "{}: it is the set {found}: somebody has renamed it, or changed what it says that it is",
            path.display()
        );
    }
    Ok(())
}

impl Show {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Some(digest) = &self.digest else {
            return self.list(out);
        };
        let path = self.from.find(digest)?;
        let set = Generation::open(&path)?;
        is_it(&path, &set.revision)?;
        if let Some(name) = &self.file {
            return print(out, &set, name);
        }
        if let Some(directory) = &self.extract {
            let files = extract(&set, directory)?;
            writeln!(
                out,
                "{} written to {}",
                counted(files, "file"),
                directory.display()
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        self.tell(out, &set, &app::policies_at(&path, &[])?)
    }

    fn list(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let shown = self.times.shown();
        let mut table = Table::new(&[("REVISION", 64), ("IN FORCE SINCE", 14), ("BYTES", 5)])
            .numbers(&["BYTES"]);
        let all = self.from.all()?;
        for (path, size, modified) in &all {
            let since = Timestamp::try_from(*modified).unwrap_or(Timestamp::UNIX_EPOCH);
            let since = rfc3339_millis(since);
            let (revision, is_challenger) = (revision(path), self.from.is_challenger(path));
            let shown_since = if is_challenger {
                "challenger only".to_owned()
            } else {
                shown.of(&since)
            };
            match self.format {
                Format::Json => print_json(
                    out,
                    &json!({
                        "revision": revision, "since": since, "bytes": size, "file": path, "challenger": is_challenger,
                    }),
                )?,
                Format::Pretty => {
                    table.add(vec![
                        Visible(&revision).to_string().into(),
                        shown_since.into(),
                        size.to_string().into(),
                    ]);
                }
            }
        }
        if self.format == Format::Pretty {
            if all.is_empty() {
                writeln!(out, "no policies are kept there yet")?;
            } else {
                table.show(out, terminal())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn tell(
        &self,
        out: &mut impl Write,
        set: &Generation,
        policy: &Policy,
    ) -> anyhow::Result<ExitCode> {
        let listed = policy.listed();
        if self.format == Format::Json {
            let policies = listed.iter().map(|it| {
                json!({"policy": it.name, "mode": it.mode, "title": it.title, "tests": it.tests})
            });
            let policies: Vec<_> = policies.collect();
            let files: Vec<_> = set
                .files
                .iter()
                .map(|(name, text)| json!({"name": name, "text": text}))
                .collect();
            let told = json!({"revision": set.revision, "kept": set.content, "bundles": set.bundles, "policies": policies, "files": files});
            print_json(out, &told)?;
            return Ok(ExitCode::SUCCESS);
        }
        writeln!(out, "revision {}", set.revision)?;
        writeln!(out, "kept {}", set.content)?;
        for bundle in &set.bundles {
            let revision = bundle.revision.as_deref().unwrap_or("-");
            writeln!(
                out,
                "bundle {}",
                Visible(format!(
                    "{}: {revision}, sha256 {}",
                    bundle.name, bundle.digest
                ))
            )?;
        }
        writeln!(out)?;
        let mut table = Table::new(&[("POLICY", 10), ("MODE", 7), ("TITLE", 16)]);
        for it in &listed {
            let title = it.title.as_deref().unwrap_or("-");
            let cells = [&it.name, &it.mode, title].map(|text| Visible(text).to_string().into());
            table.add(cells.into());
        }
        table.show(out, terminal())?;
        writeln!(out)?;
        let mut table = Table::new(&[("FILE", 16), ("LINES", 5)]).numbers(&["LINES"]);
        for (name, text) in &set.files {
            let lines = text.lines().count().to_string();
            table.add(vec![Visible(name).to_string().into(), lines.into()]);
        }
        table.show(out, terminal())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(out: &mut impl Write, set: &Generation, wanted: &str) -> anyhow::Result<ExitCode> {
    let mut files = set.files.iter();
    let named =
        |name: &str| name == wanted || name.split_once('/').is_some_and(|(_, name)| name == wanted);
    let Some((_, text)) = files.find(|(name, _)| named(name)) else {
        bail!("{} is none of its files", Visible(wanted));
    };
    if io::stdout().is_terminal() {
        write!(out, "{}", VisibleLines(text.replace('\t', "    ")))?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing that is there is written over.
fn extract(set: &Generation, directory: &Path) -> anyhow::Result<usize> {
    let failed =
        |path: &Path, error: &io::Error| anyhow!("{}: {}", path.display(), unwritten(error));
    if directory.exists() {
        bail!(
            "{} is there already: name a directory that is not",
            directory.display()
        );
    }
    // Where there is one source, its files are the directory, or the bundle, that it was.
    let sources = set
        .files
        .iter()
        .filter_map(|(name, _)| name.split_once('/'));
    let sources: BTreeSet<&str> = sources.map(|(source, _)| source).collect();
    let is_one = sources.len() == 1;
    for (name, text) in &set.files {
        let name = match name.split_once('/') {
            Some((_, name)) if is_one => name,
            _ => name,
        };
        let path = directory.join(name);
        let folder = path.parent().context("its directory")?;
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(&path, &error))?;
    }
    Ok(set.files.len())
}
