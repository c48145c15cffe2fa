//! The commands of the pages about deployment do what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The first block of commands behind a title.
fn commands(page: &str, title: &str) -> String {
    blocks(page, title).swap_remove(0)
}

/// All blocks of commands of a section.
fn blocks(page: &str, title: &str) -> Vec<String> {
    let rest = page.split_once(&format!("\n## {title}\n")).unwrap().1;
    let section = rest.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split_once("```").unwrap().0.to_owned())
        .collect()
}

/// As on the page, with another program and below another root.
fn run(commands: &str, from: &Path, place: &Path) {
    let place = place.to_str().unwrap();
    let mut script = commands.replace("target/dist/dtgate", env!("CARGO_BIN_EXE_dtgate"));
    for folder in ["/usr/local", "/etc"] {
        script = script.replace(&format!(" {folder}"), &format!(" {place}{folder}"));
    }
    let begin: String = script
        .lines()
        .map(|line| match line {
            line if line.starts_with("systemctl ") => "true\n".to_owned(),
            line if line.starts_with("dtgate ") => format!("{place}/usr/local/bin/{line}\n"),
            line if line.starts_with("/usr/local") => format!("{place}{line}\n"),
            line => format!("{line}\n"),
        })
        .collect();
    let mut bash = Command::new("bash");
    let output = bash
        .args(["-eu", "-c", &begin])
        .current_dir(from)
        .output()
        .unwrap();
    assert!(output.status.success(), "{begin}\n{output:?}");
}

#[test]
fn the_commands_of_the_page_about_systemd_install_all_that_the_unit_names() {
    let page = page("deploy/systemd.md");
    let place = tempfile::tempdir().unwrap();
    let install = commands(&page, "Install");
    run(&install, &root(), place.path());
    assert_installed(place.path());
    let at = |path: &str| place.path().join(path);
    // What the page says to write into the configuration.
    let config = at("etc/dtgate/dtgate.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (section, path) in [
        ("policies", "/etc/dtgate/policies"),
        ("journal", "/var/lib/dtgate/journal"),
    ] {
        assert!(page.contains(&format!("`{section}.directory = \"{path}\"`")));
        let there = format!("directory = \"{}\"", at(&path[1..]).display());
        text = text.replace(&format!("directory = \"{section}\""), &there);
    }
    std::fs::write(&config, text).unwrap();
    // Done once more it changes nothing of the operator's, and copies nothing into a copy.
    let settings = at("etc/dtgate/policies/data.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let (own, other) = ("max: 15", "etc/dtgate/policies/naming.rego");
    std::fs::write(&settings, text.replace("max: 12", own)).unwrap();
    std::fs::remove_file(at(other)).unwrap();
    run(&install, &root(), place.path());
    assert!(!at(other).exists());
    for nested in [
        "etc/dtgate/policies/policies",
        "usr/local/share/doc/dtgate/docs/docs",
    ] {
        assert!(!at(nested).exists(), "{nested}");
    }
    // A new version brings its policies, and leaves the settings.
    for _ in 0..2 {
        for block in blocks(&page, "A new version") {
            run(&block, &root(), place.path());
        }
        let text = std::fs::read_to_string(&settings).unwrap();
        assert!(at(other).exists() && text.contains(own));
        let left = ["usr/local/bin/dtgate.new", "etc/dtgate/policies.new"];
        assert!(left.iter().all(|path| !at(path).exists()));
    }
}

/// What the unit names, and what people look for.
fn assert_installed(place: &Path) {
    let at = |path: &str| place.join(path);
    let unit = std::fs::read_to_string(at("etc/systemd/system/dtgate.service")).unwrap();
    let mut named = 0;
    for path in unit
        .lines()
        .filter(|line| line.starts_with("Exec"))
        .flat_map(|line| line.split([' ', '=']))
    {
        if path.starts_with("/usr/local/") || path.starts_with("/etc/") {
            assert!(at(&path[1..]).exists(), "{path}");
            named += 1;
        }
    }
    assert_eq!(named, 4);
    for path in [
        "etc/dtgate/policies/naming.rego",
        "usr/local/share/man/man1/dtgate-serve.1",
        "usr/local/share/bash-completion/completions/dtgate",
        "usr/local/share/doc/dtgate/docs/operations.md",
    ] {
        assert!(at(path).exists(), "{path}");
    }
    let documentation = unit
        .lines()
        .find_map(|line| line.strip_prefix("Documentation="))
        .unwrap();
    let path = documentation.strip_prefix("file:/").unwrap();
    assert!(at(path).exists(), "{path}");
}

/// With an archive that has what `deploy/release` puts into it.
#[test]
fn the_commands_of_the_page_install_the_archive_of_a_release() {
    let release = tempfile::tempdir().unwrap();
    let folder = "layout=\"$PWD/out\"; out=\"$PWD/out\"; version=0.0.0; name=\"dtgate-$version\"\n";
    let script = std::fs::read_to_string(root().join("deploy/release")).unwrap();
    let (_, script) = script.split_once("mkdir -p \"$layout/$name/man\"").unwrap();
    let (script, _) = script.split_once("\ntar --create").unwrap();
    let make = format!(
        "{folder}mkdir \"$out\"; cp \"$PROGRAM\" \"$out/dtgate\"\n\
         mkdir -p \"$layout/$name/man\"{script}\n\
         cd \"$out\"; tar --create --file ../$name.tar.gz $name; cd ..\n\
         sha256sum $name.tar.gz > SHA256SUMS; rm -r \"$out\"\n"
    );
    // It reads the source; that is beside it here.
    for name in [
        "policies",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs",
        "deploy",
    ] {
        std::os::unix::fs::symlink(root().join(name), release.path().join(name)).unwrap();
    }
    let mut bash = Command::new("bash");
    let output = bash
        .args(["-eu", "-c", &make.replace("cp -R ", "cp -RL ")])
        .env("PROGRAM", env!("CARGO_BIN_EXE_dtgate"))
        .current_dir(release.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{make}\n{output:?}");
    let page = page("deploy/systemd.md");
    let place = tempfile::tempdir().unwrap();
    let install = commands(&page, "Install from the archive");
    run(&install, release.path(), place.path());
    assert_installed(place.path());
}

/// Every version that stands somewhere by hand is that of the program.
#[test]
fn manifests_and_pages_name_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let mut seen = 0;
    for path in [
        "deploy/compose/compose.yaml",
        "deploy/docker/Dockerfile",
        "deploy/kustomize/base/statefulset.yaml",
        "docs/deploy/docker.md",
        "docs/deploy/kubernetes.md",
    ] {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        for rest in text.split("dtgate:").skip(1) {
            let tag = rest.split([' ', '\n', '`', '"', ':']).next().unwrap();
            if tag.starts_with(|first: char| first.is_ascii_digit()) {
                assert_eq!(tag, version, "{path}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 7, "{seen}");
    let overlay =
        std::fs::read_to_string(root().join("deploy/kustomize/example/kustomization.yaml"))
            .unwrap();
    assert!(overlay.contains(&format!("newTag: {version}\n")));
}

/// Helm takes the arguments that the page shows, and makes manifests of them.
#[test]
#[ignore = "needs helm"]
fn needs_helm_the_arguments_of_the_page_about_kubernetes_are_good() {
    let page = page("deploy/kubernetes.md");
    let mut seen = 0;
    for line in page
        .lines()
        .filter(|line| line.starts_with("helm upgrade --install dtgate deploy/helm/dtgate "))
    {
        let words = shlex::split(line).unwrap();
        // What only a cluster knows.
        let arguments = words[5..].iter().filter(|word| *word != "--reuse-values");
        let arguments: Vec<&str> = arguments.map(String::as_str).collect();
        let manifests = crate::manifests::helm(&arguments).unwrap();
        assert!(manifests.contains("kind: StatefulSet"));
        assert_eq!(
            manifests.contains("kind: ConfigMap\nmetadata:\n  name: dtgate-policies"),
            line.contains("policies.files")
        );
        assert_eq!(
            manifests.contains("namespace: payments"),
            line.contains("onlyWayOutOf")
        );
        seen += 1;
    }
    assert_eq!(seen, 6);
}
