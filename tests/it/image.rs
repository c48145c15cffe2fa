//! The image and the compose file, without Docker: what the Dockerfile copies is there, what it runs is run below a
//! directory, and what it ends with is a gate that may do little.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Simulator, policies, program};
use crate::tls::{certified, write};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join("deploy").join(path)).unwrap()
}

/// Instruction and what follows it, with continued lines as one.
fn instructions() -> Vec<(String, String)> {
    let text = text("docker/Dockerfile").replace("\\\n", " ");
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = lines.map(|line| line.split_once(' ').unwrap());
    split
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// What comes behind the last FROM is the image.
fn last(name: &str) -> Vec<String> {
    let all = instructions();
    let from = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let found = all[from..].iter().filter(|(have, _)| have == name);
    found.map(|(_, rest)| rest.clone()).collect()
}

#[test]
fn what_the_image_is_built_of_is_there_and_reaches_docker() {
    let allowed = text("docker/Dockerfile.dockerignore");
    let allowed: Vec<&str> = allowed
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let mut copied = 0;
    for (_, rest) in instructions().iter().filter(|(name, _)| name == "COPY") {
        if rest.contains("--from=") {
            continue;
        }
        let mut sources: Vec<&str> = rest.split(' ').collect();
        sources.pop();
        for source in sources {
            assert!(root().join(source).exists(), "{source}");
            assert!(allowed.contains(&source), "{source}");
            copied += 1;
        }
    }
    assert_eq!(copied, allowed.len());
}

/// Cargo finds all that it needs for the program among what is copied.
#[test]
fn the_program_can_be_built_of_what_is_copied() {
    let place = tempfile::tempdir().unwrap();
    for (_, rest) in instructions().iter().filter(|(name, _)| name == "COPY") {
        let words: Vec<&str> = rest.split(' ').collect();
        if words[0].starts_with("--") {
            continue;
        }
        for source in &words[..words.len() - 1] {
            let (from, to) = (root().join(source), place.path().join(source));
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            if from.is_dir() {
                crate::harness::copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // What the source includes from beside itself.
    for file in rust(&root().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let is_test = file
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with("test"));
        for included in text.split("include_str!(\"").skip(1).filter(|_| !is_test) {
            let name = included.split('"').next().unwrap();
            let beside = file.parent().unwrap().join(name);
            let path = beside.strip_prefix(root()).unwrap();
            assert!(
                place.path().join(path).exists(),
                "{}: {name}",
                file.display()
            );
        }
    }
}

fn rust(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| {
        if path.is_dir() {
            rust(&path)
        } else {
            vec![path]
        }
    });
    found
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

#[test]
fn no_image_is_one_that_somebody_may_exchange_by_the_name_latest() {
    let arguments: Vec<String> = instructions()
        .into_iter()
        .filter(|(name, _)| name == "ARG")
        .map(|(_, rest)| rest)
        .collect();
    let compose: Value = yaml_serde::from_str(&text("compose/compose.yaml")).unwrap();
    let services = compose["services"].as_object().unwrap();
    let mut images: Vec<&str> = services
        .values()
        .map(|service| service["image"].as_str().unwrap())
        .collect();
    images.extend(
        arguments
            .iter()
            .filter_map(|argument| argument.split_once('='))
            .map(|(_, image)| image)
            .filter(|image| image.contains(':')),
    );
    assert_eq!(images.len(), 6);
    for image in images {
        let (_, tag) = image
            .rsplit_once(':')
            .unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(tag != "latest" && !tag.contains('/'), "{image}");
    }
    for (_, from) in instructions().iter().filter(|(name, _)| name == "FROM") {
        assert!(from.starts_with("${"), "{from}");
    }
}

#[test]
fn the_image_runs_as_nobody_and_asks_itself_how_it_is() {
    assert_eq!(last("USER"), ["65532:65532"]);
    assert_eq!(last("RUN"), [""; 0], "there is no shell");
    let words = |json: &str| -> Vec<String> { serde_json::from_str(json).unwrap() };
    assert_eq!(words(&last("ENTRYPOINT")[0]), ["/usr/local/bin/dtgate"]);
    let health = last("HEALTHCHECK").remove(0);
    let health = words(health.split_once("CMD ").unwrap().1);
    assert_eq!(health[..2], ["/usr/local/bin/dtgate", "health"]);
    for (command, arguments) in [
        ("serve", &words(&last("CMD")[0])[1..]),
        ("health", &health[2..]),
    ] {
        assert_eq!(arguments, ["--config", "/etc/dtgate/config/dtgate.toml"]);
        assert!(
            program()
                .args([command, "--help"])
                .output()
                .unwrap()
                .status
                .success()
        );
    }
}

/// Owner and rights of what the last stage has, after all that it copies. As `BuildKit` does it: a directory that is there
/// already keeps its own, whatever `COPY` says.
fn copied(laid_out: &Path) -> BTreeMap<String, (String, u32)> {
    let mut found: BTreeMap<String, (String, u32)> = ["/", "/etc", "/usr", "/var", "/var/lib"]
        .map(|path| (path.to_owned(), ("0:0".to_owned(), 0o755)))
        .into();
    for rest in last("COPY") {
        let words: Vec<&str> = rest.split(' ').collect();
        let flag = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        assert_eq!(flag("--from="), Some("build"), "{rest}");
        let owner = flag("--chown=").unwrap_or("0:0");
        let rights = flag("--chmod=").map(|mode| u32::from_str_radix(mode, 8).unwrap());
        let [from, to] = words[words.len() - 2..] else {
            panic!("{rest}")
        };
        let parent = Path::new(to)
            .parent()
            .map(|parent| parent.to_str().unwrap());
        assert!(
            parent.is_none_or(|parent| found.contains_key(parent)),
            "{to} would be made with parents of {owner}"
        );
        let from = laid_out.join(from.strip_prefix("/image").unwrap().trim_matches('/'));
        let mut waiting = vec![from.clone()];
        while let Some(path) = waiting.pop() {
            let below = path.strip_prefix(&from).unwrap().to_str().unwrap();
            let place = match below {
                "" => to.to_owned(),
                below => format!("{}/{below}", to.trim_end_matches('/')),
            };
            let metadata = path.metadata().unwrap();
            if !(metadata.is_dir() && found.contains_key(&place)) {
                let mode = rights.unwrap_or_else(|| metadata.permissions().mode() & 0o777);
                found.insert(place, (owner.to_owned(), mode));
            }
            if metadata.is_dir() {
                let entries = std::fs::read_dir(&path).unwrap();
                waiting.extend(entries.map(|entry| entry.unwrap().path()));
            }
        }
    }
    assert!(found.contains_key("/var/lib/dtgate"));
    found
}

/// The same commands as in the image, with another program and below another root.
#[test]
fn the_files_of_the_image_are_laid_out_and_a_gate_starts_with_them() {
    let run = instructions()
        .into_iter()
        .find(|(name, _)| name == "RUN")
        .unwrap()
        .1;
    assert!(
        run.ends_with("&& deploy/docker/layout \"target/$PROFILE/dtgate\" /image"),
        "{run}"
    );
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("image");
    let mut layout = Command::new(root().join("deploy/docker/layout"));
    let output = layout
        .arg(env!("CARGO_BIN_EXE_dtgate"))
        .arg(&image)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = |path: &str| image.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("usr/local/bin/dtgate"), 0o755);
    for (path, found) in copied(&image) {
        let expected = match &*path {
            "/var/lib/dtgate" => ("65532:65532", 0o700),
            "/usr/local/bin/dtgate" => ("0:0", 0o755),
            _ if image.join(&path[1..]).is_dir() => ("0:0", 0o755),
            _ => ("0:0", 0o644),
        };
        assert_eq!((&*found.0, found.1), expected, "{path}");
    }
    // The user of the image reads them, and may not write.
    for readable in [
        "etc/dtgate/config/dtgate.toml",
        "etc/dtgate/policies/naming.rego",
    ] {
        assert_eq!(mode(readable), 0o644, "{readable}");
    }
    let tls = image.join("etc/dtgate/tls");
    std::fs::create_dir(&tls).unwrap();
    write(&tls, &certified());
    std::fs::rename(tls.join("certificate.pem"), tls.join("tls.crt")).unwrap();
    std::fs::rename(tls.join("key.pem"), tls.join("tls.key")).unwrap();
    let config = image.join("etc/dtgate/config/dtgate.toml");
    let below = std::fs::read_to_string(&config).unwrap();
    let below = below.replace("\"/etc", &format!("\"{}/etc", image.display()));
    let below = below.replace("\"/var", &format!("\"{}/var", image.display()));
    std::fs::write(
        &config,
        format!("{below}\n[upstream]\nurl = \"https://abc12345.live.dynatrace.com\"\n"),
    )
    .unwrap();
    let mut check = Command::new(image.join("usr/local/bin/dtgate"));
    let output = check
        .args(["check", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Distroless has these libraries and no others.
#[test]
#[cfg(target_os = "linux")]
fn the_program_needs_no_library_that_the_image_lacks() {
    let output = Command::new("ldd")
        .arg(env!("CARGO_BIN_EXE_dtgate"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in said.lines() {
        let name = line
            .trim()
            .rsplit('/')
            .next()
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let name = line
            .trim()
            .split(" => ")
            .next()
            .filter(|_| line.contains("=>"))
            .unwrap_or(name);
        let known = [
            "libc.so.6",
            "libm.so.6",
            "libgcc_s.so.1",
            "linux-vdso.so.1",
            "ld-linux",
        ];
        assert!(
            known.iter().any(|known| name.trim().starts_with(known)),
            "{line}"
        );
    }
}

#[test]
fn the_compose_file_mounts_what_is_there_and_publishes_on_this_machine_only() {
    let folder = root().join("deploy/compose");
    let compose: Value = yaml_serde::from_str(&text("compose/compose.yaml")).unwrap();
    for (name, service) in compose["services"].as_object().unwrap() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let named = compose["volumes"].get(source).is_some();
            assert!(named || folder.join(source).exists(), "{name}: {source}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
        if service["image"] == "dtgate:0.1.0" {
            assert_eq!(service["read_only"], true, "{name}");
            assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        }
    }
    assert_eq!(
        compose["services"]["gate"]["image"],
        format!("dtgate:{}", env!("CARGO_PKG_VERSION"))
    );
    let prometheus: Value = yaml_serde::from_str(&text("compose/prometheus.yml")).unwrap();
    let job = &prometheus["scrape_configs"][0];
    assert_eq!(
        (&job["job_name"], &job["static_configs"][0]["targets"]),
        (&json!("dtgate"), &json!(["gate:8081"]))
    );
    for file in ["datasources", "dashboards"] {
        let read: Value =
            yaml_serde::from_str(&text(&format!("compose/grafana/{file}.yaml"))).unwrap();
        assert_eq!(read["apiVersion"], 1);
    }
}

/// The gate of the compose file, with its configuration, before a simulator.
#[test]
fn the_gate_of_the_compose_file_serves_before_the_simulator() {
    let simulator = Simulator::start();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("dtgate.toml");
    let text = text("compose/config/dtgate.toml")
        .replace("simulator:9100", &simulator.address.to_string())
        .replace("/etc/dtgate/policies", policies().to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    let mut command = crate::harness::serving(&directory);
    command.arg("--config").arg(&config);
    let gate = crate::harness::Gate::spawn(directory, command);
    assert_eq!(gate.ready().status, 200);
    let secret = Simulator::secret("api tokens");
    let lookup = format!(
        "GET /api/v2/apiTokens HTTP/1.1\r\nHost: gate\r\nAuthorization: Api-Token {secret}\r\n\r\n"
    );
    assert_eq!(gate.raw(lookup).status, 200);
}
