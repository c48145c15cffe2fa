//! What statements ask for: the members that they need, what they require of a request, and which of them hold for
//! nothing.
//!
//! It reads one statement, or one expression, at a time, and follows names; where that leads is for its caller.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{
    AssignOp, BoolOp, Expr, Literal, LiteralStmt, Query, Rule, RuleHead, Span,
};

use crate::dynatrace::catalogue::{ENDPOINTS, Operation};
use crate::policy::check::{self, Names, Path, Program, Read};
use crate::policy::input;
use crate::policy::verdicts;
use crate::policy::walk;
use crate::policy::ways::{self, Scope};

/// A member that is needed, and when it is absent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Need {
    pub(super) member: String,
    pub(super) when: Vec<String>,
}

impl Need {
    /// What a request asks for, if it asks for it.
    fn is_wish(&self) -> bool {
        self.member.starts_with("input.change.")
            && (self.member.ends_with(".requested") || self.member.ends_with(".at"))
    }

    /// What is absent lasts for ever.
    fn is_endless(&self) -> bool {
        self.member.starts_with("input.change.expiration.")
            || self.member == "input.token.current.expiration"
    }
}

/// The operations that a request may be: all of them, or these.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Operations(Option<BTreeSet<Operation>>);

impl Operations {
    pub(super) fn and(self, other: &Self) -> Self {
        match (self.0, &other.0) {
            (Some(one), Some(other)) => Self(Some(&one & other)),
            (one, other) => Self(one.or_else(|| other.clone())),
        }
    }

    fn or(self, other: &Self) -> Self {
        match (self.0, &other.0) {
            (Some(one), Some(other)) => Self(Some(&one | other)),
            _ => Self(None),
        }
    }

    fn others(self) -> Self {
        let all = ENDPOINTS
            .iter()
            .map(|row| row.operation)
            .collect::<BTreeSet<_>>();
        Self(self.0.map(|these| &all - &these))
    }

    /// Whether something is true of each.
    pub(super) fn all(&self, is_so: impl Fn(Operation) -> bool) -> bool {
        self.0
            .as_ref()
            .is_some_and(|these| these.iter().all(|operation| is_so(*operation)))
    }
}

/// What is certain of a request of which something holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Required {
    /// The absences that are out of the question.
    pub(super) sure: BTreeSet<String>,
    pub(super) operations: Operations,
}

impl Required {
    fn and(&mut self, other: Self) {
        self.sure.extend(other.sure);
        self.operations = std::mem::take(&mut self.operations).and(&other.operations);
    }

    fn or(self, other: &Self) -> Self {
        Self {
            sure: &self.sure & &other.sure,
            operations: self.operations.or(&other.operations),
        }
    }
}

pub(super) struct Known<'a> {
    pub(super) rule: &'a Rule,
    pub(super) path: Path,
    pub(super) scope: Scope<'a>,
    /// The names that it binds.
    bound: BTreeSet<String>,
    arguments: BTreeSet<String>,
}

pub(super) struct Policies<'a> {
    pub(super) rules: Vec<Known<'a>>,
    by_path: BTreeMap<Path, Vec<usize>>,
    /// What rules require, as far as it was asked for; of those that are looked at, nothing.
    required: RefCell<BTreeMap<Vec<usize>, Required>>,
}

impl<'a> Policies<'a> {
    pub(super) fn of(program: &'a Program<'a>, names: &'a [Names<'a>]) -> Self {
        let mut rules = Vec::new();
        let mut by_path: BTreeMap<Path, Vec<usize>> = BTreeMap::new();
        for (number, (rule, scope)) in ways::scopes(program, names).into_iter().enumerate() {
            let path = [scope.names.package.clone(), check::known(check::head(rule))].concat();
            by_path.entry(path.clone()).or_default().push(number);
            let mut arguments = BTreeSet::new();
            if let Rule::Spec {
                head: RuleHead::Func { args, .. },
                ..
            } = rule
            {
                walk::patterns(args, &mut |site| {
                    if let walk::Site::Binding(span) = site {
                        arguments.insert(span.text().to_owned());
                    }
                });
            }
            rules.push(Known {
                rule,
                path,
                scope,
                bound: walk::bound(rule),
                arguments,
            });
        }
        Self {
            rules,
            by_path,
            required: RefCell::default(),
        }
    }

    /// The rules that a reference asks for.
    pub(super) fn meant(&self, known: &Known<'_>, reference: &Expr) -> Vec<usize> {
        let path = check::known(reference);
        if path.first().is_none_or(|first| known.bound.contains(first)) {
            return Vec::new();
        }
        let meant = known.scope.names.functions(&path);
        let found = meant.iter().find_map(|path| {
            let mut lengths = (1..=path.len()).rev();
            lengths.find_map(|length| self.by_path.get(path.get(..length)?))
        });
        found.cloned().unwrap_or_default()
    }

    /// The rules of a function that is called.
    pub(super) fn function(&self, known: &Known<'_>, called: &Expr) -> Vec<usize> {
        let Some(path) = check::dotted(called) else {
            return Vec::new();
        };
        let meant = known.scope.names.functions(&path);
        let found = meant.iter().find_map(|path| self.by_path.get(path));
        let is_function = |rule: &usize| {
            let rule = self.rules.get(*rule).map(|known| known.rule);
            rule.is_some_and(|rule| check::function(rule).is_some())
        };
        found
            .into_iter()
            .flatten()
            .copied()
            .filter(is_function)
            .collect()
    }

    /// Whether a statement calls a function of the policies.
    pub(super) fn calls(&self, known: &Known<'_>, statement: &LiteralStmt) -> bool {
        let mut calls = false;
        walk::statement(statement, &mut |site| {
            if let walk::Site::Call { function, .. } = site {
                calls |= !self.function(known, function).is_empty();
            }
        });
        calls
    }

    /// What is certain where one of these rules has a value, or has something in it.
    fn required(&self, rules: &[usize]) -> Required {
        if rules.is_empty() {
            return Required::default();
        }
        if let Some(known) = self.required.borrow().get(rules) {
            return known.clone();
        }
        let key = rules.to_vec();
        self.required
            .borrow_mut()
            .insert(key.clone(), Required::default());
        let mut all: Option<Required> = None;
        for known in rules.iter().filter_map(|rule| self.rules.get(*rule)) {
            for one in self.required_by(known) {
                all = Some(match all {
                    Some(all) => all.or(&one),
                    None => one,
                });
            }
        }
        let all = all.unwrap_or_default();
        self.required.borrow_mut().insert(key, all.clone());
        all
    }

    /// By each body of a rule.
    fn required_by(&self, known: &Known<'a>) -> Vec<Required> {
        let (head, bodies) = match known.rule {
            Rule::Default { value, .. } if is_false(value) => return Vec::new(),
            Rule::Default { .. } => return vec![Required::default()],
            Rule::Spec { head, bodies, .. } => (head, bodies),
        };
        let value = match head {
            RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
                assign.as_ref().map(|assign| assign.value.as_ref())
            }
            RuleHead::Set { key, .. } => key.as_deref(),
        };
        let of = |query: Option<&'a Query>, value: Option<&'a Expr>| {
            let within: Vec<&Query> = query.into_iter().collect();
            let seen = Seen {
                policies: self,
                known,
                given: Some(&[]),
                within: &within,
            };
            let mut all = Required::default();
            for statement in query.into_iter().flat_map(|query| &query.stmts) {
                all.and(seen.required(statement));
            }
            if let Some(value) = value {
                all.and(seen.required_of(value));
            }
            all
        };
        if bodies.is_empty() {
            return vec![of(None, value)];
        }
        let bodies = bodies.iter().map(|body| {
            let own = body.assign.as_ref().map(|assign| assign.value.as_ref());
            (body.query.as_ref(), own.or(value))
        });
        let bodies = bodies.filter(|(_, value)| !value.is_some_and(is_false));
        bodies
            .map(|(query, value)| of(Some(query), value))
            .collect()
    }

    /// The operations that a rule says, if that is all that it says.
    fn operations(&self, rules: &[usize]) -> Option<Operations> {
        let mut all: Option<Operations> = None;
        for known in rules.iter().map(|rule| self.rules.get(*rule)) {
            let known = known?;
            let Rule::Spec {
                head: RuleHead::Compr { assign: None, .. },
                bodies,
                ..
            } = known.rule
            else {
                return None;
            };
            for body in bodies {
                let [
                    LiteralStmt {
                        literal: Literal::Expr { expr, .. },
                        ..
                    },
                ] = body.query.stmts.as_slice()
                else {
                    return None;
                };
                let seen = Seen {
                    policies: self,
                    known,
                    given: None,
                    within: &[],
                };
                let these = seen.operations(expr)?;
                all = Some(match all {
                    Some(all) => all.or(&these),
                    None => these,
                });
            }
        }
        all
    }
}

/// Where something stands.
pub(super) struct Seen<'p, 'a, 'h> {
    pub(super) policies: &'p Policies<'a>,
    pub(super) known: &'p Known<'a>,
    /// What the function that it stands in was given, if that is known.
    pub(super) given: Option<&'h [Read]>,
    pub(super) within: &'h [&'a Query],
}

impl<'a> Seen<'_, 'a, '_> {
    /// The ways into the input that an expression may mean here.
    pub(super) fn ways(&self, expr: &Expr) -> Vec<Read> {
        let mut ways = self.known.scope.ways(expr);
        let first = walk::path(expr).and_then(|path| path.into_iter().next()?.name);
        if let Some(given) = self.given
            && first.is_some_and(|first| self.known.arguments.contains(&first))
        {
            ways.retain(|way| given.iter().any(|given| way.starts_with(given)));
        }
        ways
    }

    fn members(&self, expr: &Expr) -> Vec<Need> {
        self.ways(expr).iter().filter_map(need).collect()
    }

    /// The members without which an expression is undefined.
    pub(super) fn needs(&self, expr: &Expr) -> Vec<Need> {
        let all = |items: &[&Expr]| items.iter().flat_map(|item| self.needs(item)).collect();
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. } => Vec::new(),
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                let mut needs = self.members(expr);
                needs.extend(
                    indices(expr)
                        .into_iter()
                        .flat_map(|index| self.needs(index)),
                );
                needs.extend(self.of_value(expr));
                needs
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().flat_map(|item| self.needs(item)).collect()
            }
            Expr::Object { fields, .. } => {
                let parts = fields.iter().flat_map(|(_, key, value)| [key, value]);
                parts.flat_map(|part| self.needs(part)).collect()
            }
            Expr::Call { fcn, params, .. } => {
                let name = check::dotted(fcn).unwrap_or_default().join(".");
                match (name.as_str(), params.as_slice()) {
                    ("print" | "trace", _) => Vec::new(),
                    ("object.get", [object, key, _]) => all(&[object.as_ref(), key.as_ref()]),
                    _ => params.iter().flat_map(|param| self.needs(param)).collect(),
                }
            }
            Expr::UnaryExpr { expr, .. } => self.needs(expr),
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } => self.needs(rhs),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => all(&[lhs.as_ref(), rhs.as_ref()]),
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => {
                let parts = key.iter().chain([value, collection]);
                parts.flat_map(|part| self.needs(part)).collect()
            }
        }
    }

    /// What a rule that is short for something needs.
    fn of_value(&self, reference: &Expr) -> Vec<Need> {
        let rules = self.policies.meant(self.known, reference);
        let [rule] = rules.as_slice() else {
            return Vec::new();
        };
        let Some(known) = self.policies.rules.get(*rule) else {
            return Vec::new();
        };
        let (
            Rule::Spec {
                head:
                    RuleHead::Compr {
                        assign: Some(assign),
                        ..
                    },
                bodies,
                ..
            },
            true,
        ) = (
            known.rule,
            std::ptr::from_ref(known) != std::ptr::from_ref(self.known),
        )
        else {
            return Vec::new();
        };
        if bodies.len() > 1 {
            return Vec::new();
        }
        let within: Vec<&Query> = bodies.iter().map(|body| body.query.as_ref()).collect();
        let seen = Seen {
            policies: self.policies,
            known,
            given: None,
            within: &within,
        };
        let value = assign.value.as_ref();
        // What it is false of is another matter.
        if is_predicate(value) {
            return Vec::new();
        }
        let mut needs = seen.needs(value);
        needs.extend(
            seen.bound(value)
                .into_iter()
                .flat_map(|bound| seen.needs(bound)),
        );
        needs
    }

    /// What a statement needs, whatever it makes of it.
    pub(super) fn statement_needs(&self, statement: &LiteralStmt) -> Vec<Need> {
        if !statement.with_mods.is_empty() {
            return Vec::new();
        }
        match &statement.literal {
            Literal::SomeVars { .. } => Vec::new(),
            Literal::Expr { expr, .. } => self.needs(expr),
            Literal::NotExpr { expr, .. } => {
                let loud = self.compared(expr);
                let loud: Vec<Need> = loud
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                let mut needs = match expr.as_ref() {
                    Expr::Var { .. } => Vec::new(),
                    _ => self.needs(expr),
                };
                needs.retain(|need| !loud.contains(need));
                needs
            }
            Literal::SomeIn { collection, .. } => self.needs(collection),
            Literal::Every { domain, .. } => self.needs(domain),
        }
    }

    /// The members whose absence makes a negation true.
    pub(super) fn asks(&self, statement: &LiteralStmt) -> Vec<Need> {
        match &statement.literal {
            Literal::NotExpr { expr, .. } => {
                let sides = self.compared(expr);
                let mut needs: Vec<Need> = sides
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                if let Expr::Membership {
                    key: None,
                    value,
                    collection,
                    ..
                } = expr.as_ref()
                {
                    needs.extend(self.key(value, collection));
                }
                needs.extend(self.defaults(expr));
                needs
            }
            Literal::Expr { expr, .. } => self.defaults(expr),
            _ => Vec::new(),
        }
    }

    /// `"requested" in object.keys(input.change.name)`
    fn key(&self, value: &Expr, collection: &Expr) -> Option<Need> {
        let Expr::Call { fcn, params, .. } = collection else {
            return None;
        };
        let [object] = params.as_slice() else {
            return None;
        };
        let name = walk::written(value)?;
        if check::dotted(fcn)? != ["object", "keys"] {
            return None;
        }
        let mut way = self.ways(object).into_iter().next()?;
        way.push(Some(name.to_owned()));
        need(&way)
    }

    /// The members for which something else is taken where they are absent.
    fn defaults(&self, expr: &Expr) -> Vec<Need> {
        let mut needs = Vec::new();
        self.each_call(expr, &mut |call| {
            needs.extend(self.known.scope.defaulted(call).iter().filter_map(need));
        });
        needs
    }

    fn each_call(&self, expr: &Expr, see: &mut dyn FnMut(&Expr)) {
        match expr {
            Expr::Call { params, .. } => {
                see(expr);
                for param in params {
                    self.each_call(param, see);
                }
            }
            Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::BinExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                self.each_call(lhs, see);
                self.each_call(rhs, see);
            }
            Expr::Membership {
                value, collection, ..
            } => {
                self.each_call(value, see);
                self.each_call(collection, see);
            }
            _ => {}
        }
    }

    /// What OPA looks up within a negation: a reference, and one that is compared with `==`.
    fn compared<'e>(&self, negated: &'e Expr) -> Vec<&'e Expr> {
        match negated {
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            }
            | Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            } => {
                let sides = [lhs.as_ref(), rhs.as_ref()];
                sides
                    .into_iter()
                    .filter(|side| is_reference(side))
                    .collect()
            }
            _ if is_reference(negated) => vec![negated],
            _ => Vec::new(),
        }
    }

    /// What is certain of a request of which a statement holds. What only holds because nobody looked at a danger
    /// is not: somebody may not have thought of it.
    pub(super) fn required(&self, statement: &LiteralStmt) -> Required {
        if !statement.with_mods.is_empty() {
            return Required::default();
        }
        match &statement.literal {
            Literal::Expr { expr, .. } => self.required_of(expr),
            Literal::NotExpr { expr, .. } => {
                let rules = if is_reference(expr) {
                    self.policies.meant(self.known, expr)
                } else {
                    Vec::new()
                };
                let said = self
                    .operations(expr)
                    .or_else(|| self.policies.operations(&rules));
                Required {
                    sure: without(
                        self.statement_needs(statement),
                        &self.statement_dangers(statement),
                    ),
                    operations: said.unwrap_or_default().others(),
                }
            }
            Literal::SomeIn { collection, .. } => {
                let mut all = self
                    .policies
                    .required(&self.policies.meant(self.known, collection));
                all.sure.extend(without(self.needs(collection), &[]));
                all
            }
            Literal::SomeVars { .. } | Literal::Every { .. } => Required::default(),
        }
    }

    /// The same for an expression that is true.
    fn required_of(&self, expr: &Expr) -> Required {
        let mut all = Required::default();
        match expr {
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                rhs,
                ..
            } if is_predicate(rhs) => return all,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                all = self
                    .policies
                    .required(&self.policies.meant(self.known, expr));
                if let Some(bound) = self.bound(expr) {
                    all.and(self.required_of(bound));
                }
            }
            Expr::Call { fcn, .. } => {
                all = self
                    .policies
                    .required(&self.policies.function(self.known, fcn))
            }
            Expr::Membership { collection, .. } => {
                all = self
                    .policies
                    .required(&self.policies.meant(self.known, collection));
            }
            Expr::BoolExpr { .. } => {
                if let Some((other, true)) = truth(expr) {
                    return self.required_of(other);
                }
            }
            _ => {}
        }
        all.sure
            .extend(without(self.needs(expr), &self.dangers(expr, false)));
        all.operations =
            std::mem::take(&mut all.operations).and(&self.operations(expr).unwrap_or_default());
        all
    }

    /// What a name of the rule was bound to, where that is true or false.
    pub(super) fn bound(&self, name: &Expr) -> Option<&'a Expr> {
        let Expr::Var { span, .. } = name else {
            return None;
        };
        let statements = self.within.iter().flat_map(|query| &query.stmts);
        statements.into_iter().find_map(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr { op: AssignOp::ColEq, lhs, rhs, .. } => {
                    let is_it = matches!(lhs.as_ref(), Expr::Var { span: of, .. } if of.text() == span.text());
                    is_it.then(|| rhs.as_ref())
                }
                _ => None,
            },
            _ => None,
        })
    }

    /// The operations that an expression says, if it says nothing else.
    fn operations(&self, expr: &Expr) -> Option<Operations> {
        let is_operation = |expr: &Expr| {
            let ways = self.known.scope.ways(expr);
            matches!(ways.as_slice(), [way] if way.iter().map(Option::as_deref).eq([Some("input"), Some("operation")]))
        };
        let names: Vec<String> = match expr {
            Expr::BoolExpr {
                op: BoolOp::Eq,
                lhs,
                rhs,
                ..
            } => match (is_operation(lhs), is_operation(rhs)) {
                (true, _) => vec![walk::written(rhs)?.to_owned()],
                (_, true) => vec![walk::written(lhs)?.to_owned()],
                _ => return None,
            },
            Expr::Membership {
                key: None,
                value,
                collection,
                ..
            } if is_operation(value) => self.listed(collection)?,
            _ => return None,
        };
        let operations = names.iter().filter_map(|name| name.parse().ok());
        Some(Operations(Some(operations.collect())))
    }

    /// The texts of a collection that is written out, here or as a rule.
    fn listed(&self, collection: &Expr) -> Option<Vec<String>> {
        let texts = |expr: &Expr| match expr {
            Expr::Array { items, .. } | Expr::Set { items, .. } => items
                .iter()
                .map(|item| walk::written(item).map(str::to_owned))
                .collect(),
            _ => None,
        };
        let rules = self.policies.meant(self.known, collection);
        let [rule] = rules.as_slice() else {
            return texts(collection);
        };
        match verdicts::values(self.policies.rules.get(*rule)?.rule).as_slice() {
            [value] => texts(value),
            _ => None,
        }
    }

    /// The members for which a statement would hold, were they nothing, and without which it is undefined.
    pub(super) fn statement_dangers(&self, statement: &LiteralStmt) -> Vec<Need> {
        if !statement.with_mods.is_empty() {
            return Vec::new();
        }
        match &statement.literal {
            Literal::Expr { expr, .. } => self.dangers(expr, false),
            Literal::NotExpr { expr, .. } => {
                let loud = self.compared(expr);
                let loud: Vec<Need> = loud
                    .into_iter()
                    .flat_map(|side| self.members(side))
                    .collect();
                let mut found = self.dangers(expr, true);
                found.retain(|need| !loud.contains(need));
                found
            }
            Literal::Every { domain, .. } => self.needs(domain),
            Literal::SomeVars { .. } | Literal::SomeIn { .. } => Vec::new(),
        }
    }

    /// The same for an expression, or for its being false.
    pub(super) fn dangers(&self, expr: &Expr, negated: bool) -> Vec<Need> {
        if let Some((other, is_wanted)) = truth(expr)
            && (self.bound(other).is_some() || is_predicate(other))
        {
            return self.dangers(other, negated == is_wanted);
        }
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } if negated => {
                match self.bound(expr) {
                    Some(bound) if is_predicate(bound) => self.dangers(bound, true),
                    _ => indices(expr)
                        .into_iter()
                        .flat_map(|index| self.needs(index))
                        .collect(),
                }
            }
            Expr::Membership { .. } if negated => self.needs(expr),
            Expr::Call { .. } if negated || is_text(expr) => self.needs(expr),
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                lhs,
                rhs,
                ..
            } if self.is_told(lhs) => self.texts(rhs),
            Expr::Object { .. } => self.texts(expr),
            Expr::BoolExpr { op, lhs, rhs, .. } => self.compared_dangers(op, lhs, rhs, negated),
            Expr::AssignExpr {
                op: AssignOp::Eq,
                lhs,
                rhs,
                ..
            } => self.compared_dangers(&BoolOp::Eq, lhs, rhs, negated),
            _ => Vec::new(),
        }
    }

    /// What is only there to be told, and silences who tells it.
    fn texts(&self, expr: &Expr) -> Vec<Need> {
        match expr {
            Expr::Object { fields, .. } => {
                let values = fields.iter().map(|(_, _, value)| value);
                values.flat_map(|value| self.needs(value)).collect()
            }
            _ if is_text(expr) => self.needs(expr),
            _ => Vec::new(),
        }
    }

    /// Whether a name is given a value to be told, and no condition asks for it.
    fn is_told(&self, name: &Expr) -> bool {
        let Expr::Var { span, .. } = name else {
            return false;
        };
        let statements = self.within.iter().flat_map(|query| &query.stmts);
        let mut conditions = statements.filter(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr {
                    op: AssignOp::ColEq,
                    rhs,
                    ..
                } => !matches!(rhs.as_ref(), Expr::Object { .. }) && !is_text(rhs),
                _ => true,
            },
            _ => true,
        });
        !conditions.any(|statement| {
            let mut asks = false;
            walk::statement(statement, &mut |site| {
                if let walk::Site::Reference(reference) = site {
                    asks |= check::known(reference)
                        .first()
                        .is_some_and(|first| *first == span.text());
                }
            });
            asks
        })
    }

    fn compared_dangers(&self, op: &BoolOp, lhs: &Expr, rhs: &Expr, negated: bool) -> Vec<Need> {
        let op = effective(op, negated);
        match op {
            BoolOp::Eq => {
                let counts = [(lhs, rhs), (rhs, lhs)];
                let empty = counts
                    .into_iter()
                    .find(|(one, other)| is_count(one) && is_zero(other));
                empty
                    .map(|(count, _)| self.needs(count))
                    .unwrap_or_default()
            }
            BoolOp::Ne => {
                let sides = [(lhs, rhs), (rhs, lhs)];
                // Whether there is something.
                if sides
                    .into_iter()
                    .any(|(one, other)| is_empty(one) || (is_count(other) && is_zero(one)))
                {
                    return Vec::new();
                }
                let (mut needs, other) = (self.needs(lhs), self.needs(rhs));
                let is_of_both = !needs.is_empty() && !other.is_empty();
                needs.extend(other);
                // Who asks for nothing asks for nothing else than there is.
                if is_of_both && needs.iter().any(|need| !need.is_wish()) {
                    needs.retain(|need| !need.is_wish());
                }
                needs
            }
            BoolOp::Lt | BoolOp::Le => self.less(lhs, rhs),
            BoolOp::Gt | BoolOp::Ge => self.less(rhs, lhs),
        }
    }

    /// Nothing is less than anything, and for ever is later.
    fn less(&self, lower: &Expr, upper: &Expr) -> Vec<Need> {
        let lower = self
            .needs(lower)
            .into_iter()
            .filter(|need| !need.is_endless());
        let upper = self.needs(upper).into_iter().filter(Need::is_endless);
        lower.chain(upper).collect()
    }
}

/// When what is needed is absent, but for the dangers.
fn without(mut needs: Vec<Need>, dangers: &[Need]) -> BTreeSet<String> {
    needs.retain(|need| !dangers.contains(need));
    needs.into_iter().flat_map(|need| need.when).collect()
}

fn need(way: &Read) -> Option<Need> {
    if way.first()?.as_deref() != Some("input") {
        return None;
    }
    let steps: Vec<Option<&str>> = way.iter().map(Option::as_deref).collect();
    let when = input::absences(&steps);
    let named: Vec<&str> = steps.into_iter().map_while(|step| step).collect();
    (!when.is_empty()).then(|| Need {
        member: named.join("."),
        when,
    })
}

/// The expression that is compared with `true` or `false`, and whether it is to be true.
pub(super) fn truth(expr: &Expr) -> Option<(&Expr, bool)> {
    let Expr::BoolExpr { op, lhs, rhs, .. } = expr else {
        return None;
    };
    let (other, value) = match (lhs.as_ref(), rhs.as_ref()) {
        (Expr::Bool { value, .. }, other) | (other, Expr::Bool { value, .. }) => (other, value),
        _ => return None,
    };
    let is_true = *value == true.into();
    match op {
        BoolOp::Eq => Some((other, is_true)),
        BoolOp::Ne => Some((other, !is_true)),
        _ => None,
    }
}

/// Of a comparison, the side that has to grow for it to hold: the first or the second.
pub(super) fn side_that_grows(comparison: &Expr, negated: bool) -> Option<usize> {
    let Expr::BoolExpr { op, lhs, rhs, .. } = comparison else {
        return None;
    };
    let of_empty = |is_equal: bool| {
        let side = match (is_nothing(lhs), is_nothing(rhs)) {
            (_, true) => 0,
            (true, _) => 1,
            _ => return None,
        };
        Some(if is_equal { 1 - side } else { side })
    };
    match effective(op, negated) {
        BoolOp::Eq => of_empty(true),
        BoolOp::Ne => of_empty(false),
        BoolOp::Gt | BoolOp::Ge => Some(0),
        BoolOp::Lt | BoolOp::Le => Some(1),
    }
}

fn effective(op: &BoolOp, negated: bool) -> BoolOp {
    match (op, negated) {
        (BoolOp::Eq, false) | (BoolOp::Ne, true) => BoolOp::Eq,
        (BoolOp::Ne, false) | (BoolOp::Eq, true) => BoolOp::Ne,
        (BoolOp::Lt, false) | (BoolOp::Ge, true) => BoolOp::Lt,
        (BoolOp::Le, false) | (BoolOp::Gt, true) => BoolOp::Le,
        (BoolOp::Gt, false) | (BoolOp::Le, true) => BoolOp::Gt,
        (BoolOp::Ge, false) | (BoolOp::Lt, true) => BoolOp::Ge,
    }
}

pub(super) fn is_reference(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. }
    )
}

/// Whether an expression is true or false, and nothing else.
fn is_predicate(expr: &Expr) -> bool {
    match expr {
        Expr::BoolExpr { .. } | Expr::Membership { .. } => true,
        Expr::Call { fcn, .. } => {
            let name = check::dotted(fcn).unwrap_or_default().join(".");
            PREDICATES.contains(&name.as_str()) || name.starts_with("is_")
        }
        _ => false,
    }
}

const PREDICATES: [&str; 10] = [
    "contains",
    "endswith",
    "glob.match",
    "net.cidr_contains",
    "object.subset",
    "regex.is_valid",
    "regex.match",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
];

/// Whether an expression puts a text together.
fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Call { fcn, .. }
        if check::dotted(fcn).is_some_and(|name| name == ["sprintf"] || name == ["concat"]))
}

fn is_false(expr: &Expr) -> bool {
    matches!(expr, Expr::Bool { value, .. } if *value == false.into())
}

fn is_count(expr: &Expr) -> bool {
    matches!(expr, Expr::Call { fcn, .. } if check::dotted(fcn).is_some_and(|name| name == ["count"]))
}

fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Number { span, .. } if span.text() == "0")
}

/// What is compared with what may have nothing in it.
fn is_nothing(expr: &Expr) -> bool {
    is_empty(expr) || is_zero(expr)
}

fn is_empty(expr: &Expr) -> bool {
    match expr {
        Expr::Array { items, .. } | Expr::Set { items, .. } => items.is_empty(),
        Expr::Object { fields, .. } => fields.is_empty(),
        Expr::Call { fcn, params, .. } => {
            params.is_empty() && check::dotted(fcn).is_some_and(|name| name == ["set"])
        }
        _ => walk::written(expr).is_some_and(str::is_empty),
    }
}

/// Where an expression begins: the engine's spans do not always begin there.
pub(super) fn start(expr: &Expr) -> &Span {
    match expr {
        Expr::Object { fields, .. } => fields.first().map_or(expr.span(), |(_, key, _)| start(key)),
        Expr::RefDot { refr: first, .. }
        | Expr::RefBrack { refr: first, .. }
        | Expr::Call { fcn: first, .. }
        | Expr::BinExpr { lhs: first, .. }
        | Expr::BoolExpr { lhs: first, .. }
        | Expr::ArithExpr { lhs: first, .. }
        | Expr::AssignExpr { lhs: first, .. }
        | Expr::Membership {
            key: Some(first), ..
        }
        | Expr::Membership { value: first, .. } => start(first),
        _ => expr.span(),
    }
}

/// What stands in the brackets of a reference.
pub(super) fn indices(reference: &Expr) -> Vec<&Expr> {
    let (mut found, mut current) = (Vec::new(), reference);
    loop {
        match current {
            Expr::RefDot { refr, .. } => current = refr,
            Expr::RefBrack { refr, index, .. } => {
                found.push(index.as_ref());
                current = refr;
            }
            _ => return found,
        }
    }
}

/// What is written there, in one line.
pub(super) fn text(start: &Span, whole: &Span) -> String {
    let source = whole.source.get_contents();
    let from = usize::try_from(start.start).unwrap_or(0);
    let to = usize::try_from(whole.end).unwrap_or(0);
    let rest = source.get(from..).unwrap_or_default();
    let mut end = to.saturating_sub(from);
    let written = |end: usize| rest.get(..end).unwrap_or_default();
    // The span of a text leaves out its last quotation mark.
    if rest.get(end..).is_some_and(|rest| rest.starts_with('"')) {
        end += 1;
    }
    let open = |text: &str, one: char, other: char| {
        text.matches(one).count() > text.matches(other).count()
    };
    let is_open = |text: &str| open(text, '(', ')') || open(text, '[', ']') || open(text, '{', '}');
    let closes = |text: &str| {
        !(is_open(text) || open(text, ')', '(') || open(text, ']', '[') || open(text, '}', '{'))
    };
    while is_open(written(end)) && end < rest.len() && end - to.saturating_sub(from) < MOST_CLOSING
    {
        end += 1;
    }
    // Nor does that of a text or an object begin where it does.
    let (mut whole, before) = (
        written(end).to_owned(),
        source.get(..from).unwrap_or_default(),
    );
    for open in before.chars().rev().take(MOST_CLOSING) {
        let is_whole = closes(&whole) && whole.matches('"').count() % 2 == 0;
        if is_whole || !(open.is_whitespace() || "\"{[(".contains(open)) {
            break;
        }
        whole.insert(0, open);
    }
    let lines = whole.lines().map(str::trim);
    let text = lines.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MOST_WRITTEN) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text,
    }
}

const MOST_CLOSING: usize = 8;
/// Characters of a statement that are told.
const MOST_WRITTEN: usize = 100;
