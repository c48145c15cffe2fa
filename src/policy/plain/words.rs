//! Rules whose name begins with a keyword (`not.found := …`), in a package of that name: the engine has no other place
//! for them.
//!
//! `data.p.not.found` is the same for whoever asks.

use super::tree::{Form, Module, Place, Rule, Term, known};
use crate::policy::lexical::is_keyword;
use crate::policy::rego::word::is_word;

pub(super) fn moves(rule: &Rule) -> bool {
    let name = known(&rule.name).unwrap_or_default();
    name.first().is_some_and(|first| is_keyword(first))
}

/// Moves such rules into modules of their own, with paths of their own.
///
/// # Errors
///
/// Says of a rule that nothing follows that could be its name, and where.
pub(super) fn write_out(
    modules: &mut Vec<Module>,
    paths: &mut Vec<String>,
) -> Result<(), (Place, String)> {
    let mut moved: Vec<Module> = Vec::new();
    for module in modules.iter_mut() {
        let (away, stays) = std::mem::take(&mut module.rules)
            .into_iter()
            .partition(moves);
        module.rules = stays;
        for mut rule in away {
            let mut package = module.package.clone();
            while moves(&rule) {
                package.push(shortened(&mut rule)?);
            }
            let home = moved
                .iter_mut()
                .find(|home| home.file == module.file && home.package == package);
            match home {
                Some(home) => home.rules.push(rule),
                None => moved.push(Module {
                    file: module.file,
                    package,
                    rules: vec![rule],
                }),
            }
        }
    }
    for module in &moved {
        let path = paths.get(module.file).map_or("", String::as_str);
        paths.push(format!("{path} ({})", module.package.join(".")));
    }
    modules.append(&mut moved);
    Ok(())
}

/// Takes the first step off a rule's name.
fn shortened(rule: &mut Rule) -> Result<String, (Place, String)> {
    let place = rule.name.place;
    let wrong = || {
        let said = "a name has to follow the keyword that this rule's name begins with".to_owned();
        (place, said)
    };
    let Form::Reference(base, steps) = &mut rule.name.form else {
        return Err(wrong());
    };
    let Form::Root(first) = base.form.clone() else {
        return Err(wrong());
    };
    let next = steps.first().map(|step| step.form.clone());
    let Some(Form::Text(next)) =
        next.filter(|next| matches!(next, Form::Text(name) if is_word(name)))
    else {
        return Err(wrong());
    };
    base.form = Form::Root(next);
    steps.remove(0);
    if steps.is_empty() {
        let base = std::mem::replace(&mut **base, Term::name(place, "_"));
        rule.name = base;
    }
    Ok(first)
}
