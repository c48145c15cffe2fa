//! What runs dtgate in Kubernetes fits dtgate: manifests for kustomize, and the Helm chart that they are made from.

mod console;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dtgate::config::Config;
use serde_json::{Value, json};

use crate::harness::{Upstream, copy, exchange, gate, policies, program};
use crate::tls::{certified, write};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join("deploy").join(path)).unwrap()
}

/// All documents of a text.
fn documents(text: &str) -> Vec<Value> {
    let pieces = text.split("\n---\n");
    let read = pieces.map(|piece| yaml_serde::from_str(piece).unwrap());
    read.filter(|document: &Value| !document.is_null())
        .collect()
}

/// The only one of a kind.
fn only<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let found: Vec<&Value> = documents.iter().filter(|it| it["kind"] == kind).collect();
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

fn stateful_set() -> Value {
    only(
        &documents(&text("kustomize/base/statefulset.yaml")),
        "StatefulSet",
    )
    .clone()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value}"))
}

/// The configuration as a pod has it, with its files somewhere else, is accepted. Gives the folder of its policies.
fn assert_accepted(configuration: &str, policies: &Path) {
    let files = tempfile::tempdir().unwrap();
    let place = files.path();
    for folder in [
        "tls",
        "admin-tls",
        "console",
        "credential",
        "lookup",
        "store",
        "config",
    ] {
        std::fs::create_dir(place.join(folder)).unwrap();
    }
    let tls = place.join("tls");
    write(&tls, &certified());
    for (name, as_secret) in [("certificate.pem", "tls.crt"), ("key.pem", "tls.key")] {
        std::fs::rename(tls.join(name), tls.join(as_secret)).unwrap();
        std::fs::copy(tls.join(as_secret), place.join("admin-tls").join(as_secret)).unwrap();
    }
    std::fs::copy(tls.join("tls.crt"), place.join("config/admin-ca.pem")).unwrap();
    std::fs::write(place.join("console/users"), "").unwrap();
    std::fs::write(place.join("console/oidc-secret"), "secret\n").unwrap();
    std::fs::copy(tls.join("tls.crt"), place.join("config/upstream-ca.pem")).unwrap();
    std::fs::copy(tls.join("tls.crt"), place.join("config/store-ca.pem")).unwrap();
    std::fs::write(place.join("store/password"), "secret\n").unwrap();
    for folder in ["credential", "lookup"] {
        std::fs::write(place.join(folder).join("token"), "dt0c01.PUBLIC.SECRET\n").unwrap();
    }
    let configuration = configuration
        .replace("/etc/dtgate/policies", policies.to_str().unwrap())
        .replace("/etc/dtgate", place.to_str().unwrap())
        .replace("/var/lib/dtgate", place.to_str().unwrap());
    let file = place.join("dtgate.toml");
    std::fs::write(&file, &configuration).unwrap();
    let mut check = program();
    let output = check
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{configuration}\n{output:?}");
}

#[test]
fn the_configurations_of_the_manifests_are_accepted() {
    for overlay in ["base", "example", "fleet"] {
        assert_accepted(
            &text(&format!("kustomize/{overlay}/dtgate.toml")),
            &policies(),
        );
    }
}

#[test]
fn a_pod_may_do_no_more_than_the_gate_needs_and_has_what_it_reads() {
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    // Otherwise the journal's key is opened to a group at each start, and refused.
    assert_eq!(
        pod["securityContext"]["fsGroupChangePolicy"],
        "OnRootMismatch"
    );
    let container = &list(&pod["containers"])[0];
    let context = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(container["securityContext"], context);
    assert!(!container["image"].as_str().unwrap().ends_with(":latest"));

    let volumes = list(&pod["volumes"])
        .iter()
        .chain(list(&set["spec"]["volumeClaimTemplates"]));
    let volumes: BTreeSet<&str> = volumes
        .map(|volume| {
            volume
                .get("name")
                .unwrap_or_else(|| &volume["metadata"]["name"])
                .as_str()
                .unwrap()
        })
        .collect();
    let mounts = list(&container["volumeMounts"]);
    let mounted: BTreeSet<&str> = mounts
        .iter()
        .map(|mount| mount["name"].as_str().unwrap())
        .collect();
    assert_eq!(volumes, mounted);
    let places: Vec<&str> = mounts
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    let configuration = text("kustomize/base/dtgate.toml");
    for path in configuration
        .split('"')
        .filter(|word| word.starts_with('/'))
    {
        let in_the_image = path == "/etc/dtgate/policies";
        assert!(
            in_the_image || places.iter().any(|place| path.starts_with(place)),
            "{path}"
        );
    }
    assert_eq!(
        container["args"],
        json!(["serve", "--config", "/etc/dtgate/config/dtgate.toml"])
    );
    assert!(
        mounts.iter().all(|mount| mount.get("subPath").is_none()),
        "it would never change"
    );
}

#[test]
fn a_pod_is_probed_where_the_gate_answers_and_waited_for_while_it_drains() {
    let set = stateful_set();
    let pod = &set["spec"]["template"]["spec"];
    let container = &list(&pod["containers"])[0];
    let config: Config = toml::from_str(&text("kustomize/base/dtgate.toml")).unwrap();
    let ports: BTreeMap<&str, u64> = list(&container["ports"])
        .iter()
        .map(|port| {
            (
                port["name"].as_str().unwrap(),
                port["containerPort"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(ports["https"], u64::from(config.listener.listen.port()));
    assert_eq!(ports["admin"], u64::from(config.admin.listen.port()));
    let upstream = Upstream::lenient();
    let gate = gate(upstream.address);
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "admin");
        let question = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
            asked["path"].as_str().unwrap()
        );
        assert_eq!(
            exchange(gate.admin, question.as_bytes()).status,
            200,
            "{probe}"
        );
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_u64()
        .unwrap();
    let drain = config.listener.drain_timeout.as_std().as_secs();
    assert!(grace > before + 2 * drain, "{grace} {before} {drain}");
}

/// Without peers a rule is for everybody.
#[test]
fn no_network_policy_opens_the_gate_to_everybody_by_accident() {
    let all =
        ["base", "clients"].map(|folder| text(&format!("kustomize/{folder}/networkpolicy.yaml")));
    for policy in all.iter().flat_map(|text| documents(text)) {
        let rules = [("ingress", "from"), ("egress", "to")];
        for (way, peers) in rules {
            for rule in policy["spec"][way].as_array().into_iter().flatten() {
                assert!(!list(&rule[peers]).is_empty(), "{policy}");
            }
            let types = list(&policy["spec"]["policyTypes"]);
            let is_listed = types
                .iter()
                .any(|kind| kind.as_str().unwrap().eq_ignore_ascii_case(way));
            assert!(is_listed || policy["spec"].get(way).is_none(), "{policy}");
        }
    }
    let clients = &documents(&all[1])[0]["spec"];
    assert_eq!(clients["policyTypes"], json!(["Egress"]));
    // Pods, and the address where names are looked up.
    let (to_pods, to_names) = (&clients["egress"][0], &clients["egress"][1]);
    assert_eq!(to_pods, &json!({"to": [{"namespaceSelector": {}}]}));
    assert_eq!(list(&clients["egress"]).len(), 2);
    assert_eq!(to_names["to"][1]["ipBlock"]["cidr"], "169.254.20.10/32");
    assert_eq!(ports(to_names), [53, 53]);
    let gate = &documents(&all[0])[0]["spec"]["egress"];
    assert_eq!(&gate[0], to_names);
    assert_eq!(ports(&gate[1]), [443]);
}

/// Of a rule of a `NetworkPolicy`. Without any it would be for all.
fn ports(rule: &Value) -> Vec<u64> {
    let ports = list(&rule["ports"]).iter();
    ports.map(|port| port["port"].as_u64().unwrap()).collect()
}

#[test]
fn prometheus_has_the_same_rules_there_and_finds_the_gate() {
    let rules: Value = yaml_serde::from_str(&text("prometheus/alerts.yaml")).unwrap();
    let rule = &documents(&text("kustomize/monitoring/prometheusrule.yaml"))[0];
    assert_eq!(rule["spec"], rules, "render the chart anew");
    let monitor = &documents(&text("kustomize/monitoring/servicemonitor.yaml"))[0]["spec"];
    let services = documents(&text("kustomize/base/services.yaml"));
    let wanted = monitor["selector"]["matchLabels"].as_object().unwrap();
    let found: Vec<&Value> = services
        .iter()
        .filter(|service| {
            wanted
                .iter()
                .all(|(name, value)| service["metadata"]["labels"].get(name) == Some(value))
        })
        .collect();
    assert_eq!(found.len(), 1, "{services:?}");
    assert_eq!(
        list(&found[0]["spec"]["ports"])[0]["name"],
        monitor["endpoints"][0]["port"]
    );
    // The rules expect the job dtgate.
    let job = monitor["jobLabel"].as_str().unwrap();
    assert_eq!(found[0]["metadata"]["labels"][job], "dtgate");
}

/// Paths of all members, as far as the schema knows them.
fn members(value: &Value, schema: &Value, path: &str, found: &mut [BTreeSet<String>; 2]) {
    if let Some(value) = value.as_object() {
        let closed = schema["additionalProperties"] == json!(false);
        for (name, member) in value.iter().filter(|_| closed) {
            let path = format!("{path}.{name}");
            found[0].insert(path.clone());
            members(member, &schema["properties"][name], &path, found);
        }
    }
    for name in schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(|known| known.keys())
    {
        found[1].insert(format!("{path}.{name}"));
    }
}

#[test]
fn the_values_of_the_chart_and_their_schema_know_the_same_names() {
    let values: Value = yaml_serde::from_str(&text("helm/dtgate/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&text("helm/dtgate/values.schema.json")).unwrap();
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    members(&values, &schema, "", &mut found);
    // Helm gives it to every chart.
    found[1].remove(".global");
    assert_eq!(found[0], found[1]);
    assert!(found[0].len() > 50);
}

#[test]
fn the_chart_is_of_this_version() {
    let chart: Value = yaml_serde::from_str(&text("helm/dtgate/Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// A program that `.ci/run` puts below the target directory, or that is installed.
fn tool(name: &str) -> Command {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let built = target.join("tools").join(name);
    Command::new(if built.exists() { built } else { name.into() })
}

pub(crate) fn helm(arguments: &[&str]) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let mut helm = tool("helm");
    helm.env("HOME", home.path()).args(["template", "dtgate"]);
    let output = helm
        .arg(root().join("deploy/helm/dtgate"))
        // One that is built by hand takes itself for an old one.
        .args(["--kube-version", "1.34"])
        .args(arguments)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

const NEEDED: [&str; 4] = [
    "--set",
    "upstream.url=https://abc12345.live.dynatrace.com",
    "--set",
    "tls.secretName=dtgate-tls",
];

fn kustomize(folder: &str) -> String {
    let place = root().join("deploy/kustomize").join(folder);
    let output = tool("kustomize").arg("build").arg(place).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Each member is one that its type has.
fn assert_strict(manifests: &str) {
    let mut reader = tool("manifests");
    let mut reader = reader
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    reader
        .stdin
        .take()
        .unwrap()
        .write_all(manifests.as_bytes())
        .unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = String::from_utf8(output.stdout).unwrap().lines().count();
    assert_eq!(read, documents(manifests).len());
}

/// By kind and name, without the labels that say who made them.
fn compared(manifests: &str) -> BTreeMap<String, Value> {
    let named = documents(manifests).into_iter().map(|mut document| {
        if let Some(labels) = document["metadata"]["labels"].as_object_mut() {
            labels.retain(|name, _| {
                name != "helm.sh/chart" && name != "app.kubernetes.io/managed-by"
            });
        }
        let name = format!("{} {}", document["kind"], document["metadata"]["name"]);
        if let Some(configuration) = document["data"].get_mut("dtgate.toml") {
            *configuration = json!(configuration.as_str().unwrap().trim());
        }
        (name, document)
    });
    named.collect()
}

#[test]
#[ignore = "needs helm and kustomize"]
fn needs_helm_the_chart_and_the_manifests_for_kustomize_are_the_same() {
    let chart = helm(&NEEDED).unwrap();
    let base = kustomize("base");
    assert_eq!(compared(&chart), compared(&base));
    assert_strict(&chart);
    for folder in ["base", "example", "clients", "fleet"] {
        assert_strict(&kustomize(folder));
    }
    let mut fleet = NEEDED.to_vec();
    let peers = r#"networkPolicy.store=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"databases"}}}]"#;
    fleet.extend([
        "--set",
        "replicas=2,store.url=postgres://dtgate@postgres.databases.svc/dtgate,store.secretName=dtgate-store",
        "--set-json",
        peers,
    ]);
    assert_eq!(
        compared(&helm(&fleet).unwrap()),
        compared(&kustomize("fleet"))
    );
    let mut more = NEEDED.to_vec();
    more.extend([
        "--set",
        "monitoring.serviceMonitor=true,monitoring.prometheusRule=true",
    ]);
    let chart = compared(&helm(&more).unwrap());
    for file in ["prometheusrule", "servicemonitor"] {
        for (name, document) in compared(&text(&format!("kustomize/monitoring/{file}.yaml"))) {
            assert_eq!(chart[&name], document);
        }
    }
    more.extend(["--set", "networkPolicy.onlyWayOutOf[0]=payments"]);
    let rendered = helm(&more).unwrap();
    let only = compared(&rendered)
        .remove("\"NetworkPolicy\" \"dtgate-only-way-out\"")
        .unwrap();
    let clients = &documents(&text("kustomize/clients/networkpolicy.yaml"))[0];
    assert_eq!(
        (&only["spec"], &only["metadata"]["namespace"]),
        (&clients["spec"], &json!("payments"))
    );
}

const VALUES: &str = r#"
upstream:
  url: https://abc12345.live.dynatrace.com
  ca: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
tls: {secretName: dtgate-tls}
credential: {secretName: dynatrace-token}
lookup: {secretName: lookup-token}
store:
  url: postgres://dtgate@postgres.databases.svc/dtgate
  secretName: store-password
  ca: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
  turns: local
keys:
  store: {timeout: 5s}
  listener: {workers: 2, max_connections: 100}
  journal: {min_free: 1 GiB}
  policies: {time_limit: 5s}
config: |
  [limits]
  address_share = "100%"
  [identity.forwarded]
  from = ["10.0.0.0/8"]
policies:
  bundles:
    platform:
      url: https://bundles.example/platform.tar.gz
      secretName: bundles-token
      signature: {algorithm: ES256, publicKey: "-----BEGIN PUBLIC KEY-----\n", scope: platform}
      keys: {max_age: 6h, when_stale: refuse, roots: [dtgate/platform]}
    team: {url: "https://bundles.example/team.tar.gz"}
  files:
    shipped_test.rego: null
    own/more.json: '{"list": [1]}'
    own.rego: |
      package dtgate.own

      deny contains "no" if input.change.name.requested == "no"
imagePullSecrets: [registry]
networkPolicy:
  upstream: [10.1.0.0/16, "fd00::/8"]
  upstreamPorts: [443, 3128, 9999]
  dns: {namespaces: [openshift-dns], ipBlocks: ["fd00::10/128"], ports: [5353]}
  onlyWayOutOf: [payments, shipping]
  alsoReach: [10.0.0.0/8]
  collectors: [{podSelector: {}}]
  collectorPorts: [4317, 14318]
  store: [{ipBlock: {cidr: 10.2.0.0/16}}]
  storePort: 6432
  extraEgress: [{to: [{podSelector: {}}], ports: [{port: 6831, protocol: UDP}]}]
probes: {scheme: HTTPS}
monitoring:
  serviceMonitor: true
  prometheusRule: true
  labels: {release: prometheus}
  tlsConfig: {ca: {secret: {name: dtgate-tls, key: ca.crt}}, serverName: dtgate.dtgate.svc}
service: {type: LoadBalancer, annotations: {a: b}}
nodeSelector: {disk: ssd}
volumes: [{name: ca, secret: {secretName: ca}}]
volumeMounts: [{name: ca, mountPath: /etc/dtgate/ca}]
"#;

/// A configuration whose bundles nobody has, and what it says of each.
fn without_bundles(configuration: &str) -> (String, BTreeMap<String, String>) {
    let mut bundles = BTreeMap::new();
    let sections = configuration.split("\n\n").filter(|section| {
        let Some(rest) = section.strip_prefix("[policies.bundles.") else {
            return true;
        };
        let (name, rest) = rest.split_once("]\n").unwrap();
        bundles.insert(name.to_owned(), rest.to_owned());
        false
    });
    let sections: Vec<&str> = sections.collect();
    (sections.join("\n\n"), bundles)
}

/// What a pod finds in its volumes is what `check` is asked about.
#[test]
#[ignore = "needs helm"]
fn needs_helm_a_gate_with_everything_has_a_configuration_and_policies_that_work() {
    let files = tempfile::tempdir().unwrap();
    let values = files.path().join("values.yaml");
    std::fs::write(&values, VALUES).unwrap();
    let rendered = helm(&["--values", values.to_str().unwrap()]).unwrap();
    assert_strict(&rendered);
    let documents = documents(&rendered);
    let named = |name: &str| {
        let mut maps = documents.iter().filter(|it| it["kind"] == "ConfigMap");
        maps.find(|map| map["metadata"]["name"] == name).unwrap()
    };
    let pod = &only(&documents, "StatefulSet")["spec"]["template"]["spec"];
    let volume = list(&pod["volumes"])
        .iter()
        .find(|volume| volume["name"] == "policies");
    let folder = files.path().join("policies");
    let texts = &named("dtgate-policies")["data"];
    let items = list(&volume.unwrap()["configMap"]["items"]);
    assert_eq!(items.len(), texts.as_object().unwrap().len());
    for item in items {
        let path = folder.join(item["path"].as_str().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, texts[item["key"].as_str().unwrap()].as_str().unwrap()).unwrap();
    }
    assert!(folder.join("own.rego").exists() && !folder.join("shipped_test.rego").exists());
    // All else is as shipped.
    let shipped = files.path().join("shipped");
    copy(&policies(), &shipped);
    for name in [
        "naming.rego",
        "data.yaml",
        "dynatrace/scopes/data.json",
        "lib/request.rego",
    ] {
        let [one, other] =
            [&folder, &shipped].map(|folder| std::fs::read_to_string(folder.join(name)).unwrap());
        assert_eq!(one, other, "{name}");
    }
    let configuration = named("dtgate")["data"]["dtgate.toml"].as_str().unwrap();
    let (configuration, bundles) = without_bundles(configuration);
    let mounts = list(&pod["containers"][0]["volumeMounts"]);
    let is_mounted = |it: &Value| it["mountPath"] == "/etc/dtgate/bundles/platform";
    assert!(mounts.iter().any(is_mounted));
    let secrets = list(&pod["volumes"]);
    assert!(
        secrets
            .iter()
            .any(|it| it["secret"]["secretName"] == "bundles-token")
    );
    assert!(named("dtgate")["data"]["bundle-platform.pem"].is_string());
    let platform: dtgate::bundles::Config = toml::from_str(&bundles["platform"]).unwrap();
    let remote = platform.remote().unwrap();
    let token = remote.token_file.as_ref().unwrap();
    assert_eq!(token, Path::new("/etc/dtgate/bundles/platform/token"));
    assert!(remote.max_age.is_some() && platform.roots.is_some());
    let signer = platform.signature.unwrap();
    assert_eq!(
        signer.key_file,
        Path::new("/etc/dtgate/config/bundle-platform.pem")
    );
    assert_eq!(signer.scope, "platform");
    let team: dtgate::bundles::Config = toml::from_str(&bundles["team"]).unwrap();
    assert!(team.signature.is_none() && team.remote().unwrap().token_file.is_none());
    // Who has the gate's token needs an identity besides, which is not what this is about.
    let (before, rest) = configuration.split_once("[credential]").unwrap();
    let (credential, behind) = rest.split_once("\n\n").unwrap();
    assert!(credential.contains("file = \"/etc/dtgate/credential/token\""));
    assert!(configuration.contains("state = \"/var/lib/dtgate/state\""));
    assert_accepted(&format!("{before}{behind}"), &folder);
    for wanted in [
        "workers = 2",
        "min_free = \"1 GiB\"",
        "ca = \"/etc/dtgate/config/upstream-ca.pem\"",
        "ca = \"/etc/dtgate/config/store-ca.pem\"",
        "timeout = \"5s\"",
    ] {
        assert!(configuration.contains(wanted), "{wanted}: {configuration}");
    }
}

#[test]
#[ignore = "needs helm"]
fn needs_helm_a_network_policy_lets_the_gate_go_where_the_values_say_and_clients_to_names() {
    let files = tempfile::tempdir().unwrap();
    let values = files.path().join("values.yaml");
    std::fs::write(&values, VALUES).unwrap();
    let rendered = helm(&["--values", values.to_str().unwrap()]).unwrap();
    let all = documents(&rendered);
    let egress = |name: &str, namespace: Value| {
        let mut policies = all.iter().filter(|it| it["kind"] == "NetworkPolicy");
        let policy = policies
            .find(|it| it["metadata"]["name"] == name && it["metadata"]["namespace"] == namespace);
        policy.unwrap()["spec"]["egress"].clone()
    };
    let gate = egress("dtgate", Value::Null);
    let names = json!([
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}},
        {"ipBlock": {"cidr": "fd00::10/128"}},
    ]);
    assert_eq!(
        (&gate[0]["to"], ports(&gate[0])),
        (&names, vec![5353, 5353])
    );
    assert_eq!(gate[1]["to"][1]["ipBlock"]["cidr"], "fd00::/8");
    assert_eq!(ports(&gate[1]), [443, 3128, 9999]);
    assert_eq!(ports(&gate[2]), [4317, 14318]);
    assert_eq!(gate[3]["to"][0]["ipBlock"]["cidr"], "10.2.0.0/16");
    assert_eq!(ports(&gate[3]), [6432]);
    assert_eq!(ports(&gate[4]), [6831]);
    for namespace in ["payments", "shipping"] {
        let clients = egress("dtgate-only-way-out", json!(namespace));
        assert_eq!(clients[1], gate[0]);
        assert_eq!(clients[2]["to"][0]["ipBlock"]["cidr"], "10.0.0.0/8");
    }
    let monitor = &only(&all, "ServiceMonitor")["spec"]["endpoints"][0];
    assert_eq!(monitor["scheme"], "https");
    assert_eq!(monitor["tlsConfig"]["serverName"], "dtgate.dtgate.svc");

    // No peers are no rule, and not one for everywhere.
    let mut none = NEEDED.to_vec();
    none.extend([
        "--set-json",
        r#"networkPolicy.dns={"namespaces":[],"ipBlocks":[]}"#,
    ]);
    let rendered = helm(&none).unwrap();
    let policy = only(&documents(&rendered), "NetworkPolicy").clone();
    assert_eq!(list(&policy["spec"]["egress"]).len(), 1, "{policy}");
}

/// Kubernetes ends a gate by force when the time is over.
#[test]
#[ignore = "needs helm"]
fn needs_helm_a_gate_is_waited_for_as_long_as_it_may_drain() {
    for (values, expected) in [
        ("drainTimeout=25s", 70),
        ("drainTimeout=60s", 140),
        ("drainTimeout=1m 1ms,preStopSeconds=0", 137),
        ("drainTimeout=1h", 7220),
        ("terminationGracePeriodSeconds=56", 56),
        ("drainTimeout=60s,terminationGracePeriodSeconds=126", 126),
    ] {
        let mut arguments = NEEDED.to_vec();
        arguments.extend(["--set", values]);
        let rendered = helm(&arguments).unwrap();
        let set = only(&documents(&rendered), "StatefulSet").clone();
        let grace = &set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert_eq!(grace, expected, "{values}");
    }
}

#[test]
#[ignore = "needs helm"]
fn needs_helm_gates_are_spread_unless_values_say_how() {
    let spread = |more: &[&str]| {
        let rendered = helm(&[&NEEDED, more].concat()).unwrap();
        let set = only(&documents(&rendered), "StatefulSet").clone();
        assert_strict(&rendered);
        let selector = set["spec"]["selector"].clone();
        let constraints = set["spec"]["template"]["spec"]["topologySpreadConstraints"].clone();
        (selector, list(&constraints).clone())
    };
    let (selector, constraints) = spread(&["--set", "replicas=2"]);
    assert_eq!(constraints.len(), 2);
    for constraint in &constraints {
        assert_eq!(constraint["labelSelector"], selector);
        assert_eq!(constraint["whenUnsatisfiable"], "ScheduleAnyway");
    }
    let own = r#"topologySpreadConstraints=[{"maxSkew":2,"topologyKey":"rack","whenUnsatisfiable":"DoNotSchedule"}]"#;
    let (_, constraints) = spread(&["--set-json", own]);
    assert_eq!(constraints.len(), 1);
    assert_eq!(constraints[0]["topologyKey"], "rack");
}

/// What the chart says after it is installed runs in the container as it is.
#[test]
fn the_command_that_the_chart_shows_asks_with_the_configuration_of_the_pod() {
    let shown = "-- /usr/local/bin/dtgate health --config /etc/dtgate/config/dtgate.toml\n";
    assert!(text("helm/dtgate/templates/NOTES.txt").contains(shown));
}

#[test]
#[ignore = "needs helm"]
fn needs_helm_values_that_cannot_work_are_refused_and_said() {
    let cases: [(&[&str], &str); 13] = [
        (&["--set", "tls.secretName=a"], "upstream.url"),
        (&["--set", "upstream.url=https://a"], "/tls/secretName"),
        (&["--set", "image.tag=latest"], "/image/tag"),
        (&["--set", "image.digest=sha256:1"], "/image/digest"),
        (&["--set", "replica=3"], "replica"),
        (
            &["--set", "policies.files.a=x,policies.files.\\.\\./b=x"],
            "invalid propertyName",
        ),
        (&["--set", "drainTimeout=25"], "/drainTimeout"),
        (
            &["--set", "drainTimeout=60s,terminationGracePeriodSeconds=70"],
            "More than 125",
        ),
        (
            &[
                "--set",
                "monitoring.serviceMonitor=true,probes.scheme=HTTPS",
            ],
            "monitoring.tlsConfig",
        ),
        (
            &["--set", "upstream.url=https://managed.example:8443/e/abc"],
            "without 8443 the gate does not reach https://managed.example:8443",
        ),
        (
            &["--set", "keys.upstream.proxy=http://proxy.example:3128"],
            "without 3128",
        ),
        (
            &["--set-json", "networkPolicy.upstreamPorts=[]"],
            "/networkPolicy/upstreamPorts",
        ),
        (
            &["--set-json", "networkPolicy.extraEgress=[{\"ports\":[]}]"],
            "/networkPolicy/extraEgress",
        ),
    ];
    for (number, (arguments, said)) in cases.into_iter().enumerate() {
        let needed: &[&str] = if number < 2 { &[] } else { &NEEDED };
        let arguments = [needed, arguments].concat();
        let error = helm(&arguments).unwrap_err();
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
