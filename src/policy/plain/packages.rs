//! What stands for several rules as a value: a package, or `p` where there are rules `p.a` and `p.b`.
//!
//! In OPA that is an object of the values of all rules in it, with the data of that place. The engine has it only after it
//! has evaluated all of the package, and takes what is below for done then. So it gets a rule that makes the object:
//! each rule that is undefined is left out of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::tree::{Bracket, Form, Kind, Module, Place, Query, Rule, Statement, Term, known, path};
use super::{data, shadows};

/// A path without `data`.
type Path = Vec<String>;

/// The most members that the object of a package may have, with those in it.
const MOST: usize = 1000;

/// All rules by their steps; functions are not among them.
#[derive(Default)]
struct Tree {
    /// Whether there is a rule of this name.
    is_rule: bool,
    /// Whether it is a set that grows.
    is_set: bool,
    below: BTreeMap<String, Self>,
}

impl Tree {
    fn of(modules: &[Module]) -> Self {
        let mut tree = Self::default();
        for module in modules {
            tree.at(&module.package);
            for rule in &module.rules {
                let name = known(&rule.name).unwrap_or_default();
                let whole = [module.package.as_slice(), &name].concat();
                if rule.arguments.is_none() {
                    let is_open = name.len() < path_length(&rule.name);
                    let rule_tree = tree.at(&whole);
                    rule_tree.is_rule = true;
                    rule_tree.is_set = rule.element.is_some() && !is_open;
                } else if let Some((_, around)) = whole.split_last() {
                    tree.at(around);
                }
            }
        }
        tree
    }

    fn at(&mut self, path: &[String]) -> &mut Self {
        path.iter().fold(self, |tree, step| {
            tree.below.entry(step.clone()).or_default()
        })
    }

    fn find(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, step| {
            tree.below.get(step).filter(|_| !tree.is_rule)
        })
    }
}

/// What is wrong, and where.
pub(super) type Wrong = (Place, String);

/// Puts rules that make objects in place of packages.
///
/// # Errors
///
/// Names a package that cannot be a value: one that `with` replaces, whose rules have the names of data, or that has very
/// many members; and a rule that asks for what it is in.
pub(super) fn write_out(modules: &mut [Module], data: &Map<String, Json>) -> Result<(), Wrong> {
    let tree = Tree::of(modules);
    let mut replaced = BTreeSet::new();
    for module in &mut *modules {
        for rule in &mut module.rules {
            rule.queries_mut(&mut |query| {
                for (target, _) in query.statements.iter().flat_map(|one| &one.with) {
                    if let Some([data, path @ ..]) = known(target).as_deref()
                        && data == "data"
                    {
                        replaced.insert((path.to_vec(), target.place));
                    }
                }
            });
        }
    }
    let whole = Packages {
        tree,
        data,
        replaced,
    };
    let is_package = |path: &Path| modules.iter().any(|one| one.package.starts_with(path));
    for (path, place) in &whole.replaced {
        if is_package(path) {
            let message = format!(
                "{} is a package: `with` replaces rules and data",
                named(path)
            );
            return Err((*place, message));
        }
    }
    let mut made = Vec::new();
    for module in &mut *modules {
        for (meant, name) in whole.module(module)? {
            whole.can_be_replaced(&meant)?;
            made.push((meant, [module.package.clone(), vec![name]].concat()));
        }
    }
    for rule in modules.iter_mut().flat_map(|module| &mut module.rules) {
        rule.queries_mut(&mut |query| {
            query
                .statements
                .iter_mut()
                .for_each(|one| replace(one, &made));
        });
    }
    Ok(())
}

/// Lets `with` replace the rules that make an object together with what they make it of.
fn replace(statement: &mut Statement, made: &[(Path, Path)]) {
    let mut more = Vec::new();
    for (target, value) in &statement.with {
        if let Some([data, replaced @ ..]) = known(target).as_deref()
            && data == "data"
        {
            let rules = made.iter().filter(|(meant, _)| meant == replaced);
            more.extend(rules.map(|(_, rule)| {
                let data = ["data".to_owned()];
                (
                    path(target.place, &[&data, rule.as_slice()].concat()),
                    value.clone(),
                )
            }));
        }
    }
    statement.with.append(&mut more);
}

struct Packages<'a> {
    tree: Tree,
    data: &'a Map<String, Json>,
    /// What `with` replaces somewhere, and where.
    replaced: BTreeSet<(Path, Place)>,
}

impl Packages<'_> {
    /// What `with` replaces may be all of an object, or a rule in it.
    fn can_be_replaced(&self, meant: &Path) -> Result<(), Wrong> {
        for (path, place) in &self.replaced {
            let is_part = self.tree.find(path).is_some_and(|tree| !tree.is_rule);
            let is_other = path != meant && (meant.starts_with(path) || path.starts_with(meant));
            if is_part && is_other {
                let message = format!(
                    "`with` may not replace {} where {} is asked for as a value",
                    named(path),
                    named(meant)
                );
                return Err((*place, message));
            }
        }
        Ok(())
    }

    /// Changes the rules of a module; the objects that they ask for, and the rules that make them.
    fn module(&self, module: &mut Module) -> Result<Vec<(Path, String)>, Wrong> {
        let mut made: BTreeMap<Path, Term> = BTreeMap::new();
        let mut places: BTreeMap<Path, Place> = BTreeMap::new();
        let mut wrong = None;
        let file = module.file;
        for rule in &mut module.rules {
            let name = known(&rule.name).unwrap_or_default();
            let asking = [module.package.clone(), name].concat();
            let package = module.package.clone();
            let mut see = |term: &mut Term| {
                self.places(term);
                let Some((meant, steps)) = self.meant(&package, term) else {
                    return;
                };
                if asking.starts_with(&meant) && wrong.is_none() {
                    let message = format!(
                        "this rule is in {}, and would ask for itself (OPA: rule is recursive)",
                        named(&meant)
                    );
                    wrong = Some((term.place, message));
                }
                let number = made.len();
                let place = term.place;
                let rule = made
                    .entry(meant.clone())
                    .or_insert_with(|| {
                        let name = format!("dtgate_package_{file}_{number}");
                        Term::new(place, Form::Root(name))
                    })
                    .clone();
                places.entry(meant).or_insert(place);
                let rule = Term { place, ..rule };
                *term = steps.into_iter().fold(rule, Term::step);
            };
            rule.terms_mut(&mut see);
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let mut all = Vec::new();
        for (meant, name) in made {
            all.push((meant.clone(), known(&name).unwrap_or_default().concat()));
            let place = places.get(&meant).copied().unwrap_or_default();
            let value = self.value(&meant, place)?;
            module.rules.push(Rule {
                place,
                is_default: false,
                name,
                arguments: None,
                element: None,
                value: Some(value),
                bodies: Vec::new(),
            });
        }
        Ok(all)
    }

    /// The package that a reference asks for as a value, and the steps behind it.
    fn meant(&self, package: &[String], term: &Term) -> Option<(Path, Vec<Term>)> {
        let (first, steps) = match &term.form {
            Form::Root(first) => (first, [].as_slice()),
            Form::Reference(base, steps) => match &base.form {
                Form::Root(first) => (first, steps.as_slice()),
                _ => return None,
            },
            _ => return None,
        };
        let mut path = match first.as_str() {
            "input" => return None,
            "data" => Vec::new(),
            first => [package, &[first.to_owned()]].concat(),
        };
        let mut found = self.tree.find(&path)?;
        let mut rest = steps;
        while let Some((step, behind)) = rest.split_first()
            && !found.is_rule
        {
            let name = match &step.form {
                Form::Text(name) => name,
                // In data a number is the name of a member.
                Form::Constant(text) if is_number(step) => text,
                _ => break,
            };
            path.push(name.clone());
            found = self.tree.find(&path)?;
            rest = behind;
        }
        // Of a rule of another package the engine takes a number for a name, too; a set has none.
        let may_be_number = |step: &Term| !matches!(step.form, Form::Text(_));
        let is_taken = first == "data" && !found.is_set && rest.iter().any(may_be_number);
        (!found.is_rule || is_taken).then(|| (path, rest.to_vec()))
    }

    /// Members of data by numbers, and places in its lists by texts: OPA finds both, and not both engines.
    fn places(&self, term: &mut Term) {
        let Form::Reference(base, steps) = &mut term.form else {
            return;
        };
        if !matches!(&base.form, Form::Root(root) if root == "data") {
            return;
        }
        // What is put there is looked into literally.
        if data::is_replaced(steps, self.replaced.iter().map(|(path, _)| path)) {
            return;
        }
        let mut path = Vec::new();
        for step in steps {
            let is_number = is_number(step);
            let (Form::Text(name) | Form::Constant(name)) = &step.form else {
                return;
            };
            let name = name.clone();
            let is_place = name == "0" || !name.starts_with('0');
            match self.datum(&path) {
                Some(Json::Object(_)) if is_number => step.form = Form::Text(name.clone()),
                Some(Json::Array(_)) => {
                    if is_place && name.bytes().all(|byte| byte.is_ascii_digit()) {
                        step.form = Form::Constant(name);
                    }
                    return;
                }
                _ => {}
            }
            path.push(name);
        }
    }

    /// What a package, or a rule, is as a value.
    fn value(&self, meant: &[String], place: Place) -> Result<Term, Wrong> {
        if self.tree.find(meant).is_some_and(|tree| tree.is_rule) {
            let data = ["data".to_owned()];
            return Ok(path(place, &[&data, meant].concat()));
        }
        self.object(meant, place, &mut 0)
    }

    fn object(&self, package: &[String], place: Place, count: &mut usize) -> Result<Term, Wrong> {
        let mut members = Vec::new();
        let tree = self.tree.find(package);
        let below = tree.iter().flat_map(|tree| &tree.below);
        let mut names: BTreeSet<String> = BTreeSet::new();
        for (step, tree) in below {
            let whole = [package, std::slice::from_ref(step)].concat();
            names.insert(step.clone());
            if tree.is_rule {
                if self.datum(&whole).is_some() {
                    let message = format!(
                        "{} is a rule, and there is data of that name: it is not certain what {} is then",
                        named(&whole),
                        named(package)
                    );
                    return Err((place, message));
                }
                members.push(found(&whole, place, count)?);
            } else {
                let key = Term::new(place, Form::Text(step.clone()));
                let value = self.object(&whole, place, count)?;
                members.push(Term::new(place, Form::Object(vec![(key, value)])));
            }
        }
        let data = match self.datum(package) {
            None => None,
            Some(Json::Object(data)) => Some(data.keys()),
            Some(_) => {
                let message = format!(
                    "{} is a package, and data that has no members",
                    named(package)
                );
                return Err((place, message));
            }
        };
        let put = self.replaced.iter().filter_map(|(path, _)| {
            path.strip_prefix(package)
                .and_then(|rest| rest.first().cloned())
        });
        let others: BTreeSet<String> = data.into_iter().flatten().cloned().chain(put).collect();
        for name in others.difference(&names) {
            let whole = [package, std::slice::from_ref(name)].concat();
            // Functions are no members.
            members.push(found(&whole, place, count)?);
        }
        let members = Term::new(place, Form::Array(members));
        let name = vec!["object".to_owned(), "union_n".to_owned()];
        Ok(Term::new(place, Form::Call(name, vec![members])))
    }

    fn datum(&self, path: &[String]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        let first = self.data.get(first)?;
        rest.iter().try_fold(first, |value, step| match value {
            Json::Object(members) => members.get(step),
            _ => None,
        })
    }
}

/// `{"name": value | value := data.package.name}`: nothing where it is undefined.
fn found(whole: &[String], place: Place, count: &mut usize) -> Result<Term, Wrong> {
    *count += 1;
    if *count > MOST {
        let message =
            format!("the package has more than {MOST} members: name the rule that is meant");
        return Err((place, message));
    }
    let name = whole.last().map_or("", String::as_str);
    let key = Term::new(place, Form::Text(shadows::written(name).to_owned()));
    let value = Term::name(place, "dtgate_value");
    let data = ["data".to_owned()];
    let asked = path(place, &[&data, whole].concat());
    let query = Query {
        statements: vec![Statement {
            place,
            kind: Kind::Holds(Term::infix(":=", value.clone(), asked)),
            with: Vec::new(),
            is_negated: false,
        }],
        end: 0,
    };
    let form = Form::Comprehension(Bracket::Curly, vec![key, value], query);
    Ok(Term::new(place, form))
}

/// How many steps a name has, the computed ones among them.
fn path_length(name: &Term) -> usize {
    match &name.form {
        Form::Reference(_, steps) => steps.len() + 1,
        _ => 1,
    }
}

fn is_number(step: &Term) -> bool {
    matches!(&step.form, Form::Constant(text) if text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn named(path: &[String]) -> String {
    let mut name = "data".to_owned();
    for step in path {
        name.push('.');
        name.push_str(step);
    }
    name
}
