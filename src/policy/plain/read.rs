//! The engine's tree of a module as one that can be changed.

use regorus::unstable::{
    ArithOp, AssignOp, BinOp, BoolOp, Expr, Literal, LiteralStmt, Module as Source,
    Query as Statements, Ref, Rule as Definition, RuleHead, Span,
};

use super::places::Columns;
use super::tree::{Body, Bracket, Form, Kind, Module, Place, Query, Rule, Statement, Term};
use crate::policy::builtins::numbers;
use crate::policy::lexical;
use crate::policy::rego::program;

/// The tree of a module; a second body of a rule is a rule of its own.
pub(super) fn module(module: &Source, file: usize) -> Module {
    let text = module.package.span.source.get_contents();
    let reader = Reader {
        file,
        text,
        columns: Columns::of(text),
    };
    let rules = module.policy.iter();
    Module {
        file,
        package: program::package(module).into_iter().skip(1).collect(),
        rules: rules.flat_map(|rule| reader.rule(rule)).collect(),
    }
}

struct Reader<'t> {
    file: usize,
    text: &'t str,
    columns: Columns<'t>,
}

impl Reader<'_> {
    /// What [`program::at`] finds, of which there are many.
    fn place(&self, span: &Span) -> Place {
        let start = usize::try_from(span.start).unwrap_or(usize::MAX);
        let line = usize::try_from(span.line).unwrap_or(usize::MAX);
        Place {
            file: self.file,
            line,
            column: lexical::column(self.text, line, self.columns.column(start)),
        }
    }

    fn rule(&self, rule: &Definition) -> Vec<Rule> {
        let head = program::head(rule);
        let mut made = Rule {
            place: self.place(rule.span()),
            is_default: false,
            name: self.term(head),
            arguments: None,
            element: None,
            value: None,
            bodies: Vec::new(),
        };
        match rule {
            Definition::Default { args, value, .. } => {
                made.is_default = true;
                made.arguments = (!args.is_empty()).then(|| self.terms(args));
                made.value = Some(self.term(value));
                vec![made]
            }
            Definition::Spec { head, bodies, .. } => {
                let assign = match head {
                    RuleHead::Compr { assign, .. } => assign.as_ref(),
                    RuleHead::Func { args, assign, .. } => {
                        made.arguments = Some(self.terms(args));
                        assign.as_ref()
                    }
                    RuleHead::Set { key, .. } => {
                        made.element = key.as_ref().map(|key| self.term(key));
                        None
                    }
                };
                made.value = assign.map(|assign| self.term(&assign.value));
                let mut rules = vec![made.clone()];
                for (number, body) in bodies.iter().enumerate() {
                    if number > 0 && !body.is_else {
                        let place = self.place(&body.span);
                        rules.push(Rule {
                            place,
                            ..made.clone()
                        });
                    }
                    if let Some(rule) = rules.last_mut() {
                        let assign = body.assign.as_ref();
                        rule.bodies.push(Body {
                            place: self.place(&body.span),
                            value: assign.map(|assign| self.term(&assign.value)),
                            query: self.query(&body.query),
                        });
                    }
                }
                rules
            }
        }
    }

    fn query(&self, query: &Statements) -> Query {
        let text = query.span.text();
        let line = usize::try_from(query.span.line).unwrap_or(0);
        Query {
            statements: query.stmts.iter().map(|one| self.statement(one)).collect(),
            end: line + text.matches('\n').count(),
        }
    }

    fn statement(&self, statement: &LiteralStmt) -> Statement {
        let kind = match &statement.literal {
            Literal::SomeVars { vars, .. } => {
                Kind::Some(vars.iter().map(|span| self.name(span)).collect())
            }
            Literal::SomeIn {
                key,
                value,
                collection,
                ..
            } => Kind::SomeIn {
                key: key.as_ref().map(|key| self.term(key)),
                value: self.term(value),
                within: self.term(collection),
            },
            Literal::Expr { expr, .. } => Kind::Holds(self.term(expr)),
            Literal::NotExpr { expr, .. } => Kind::Not(self.term(expr)),
            Literal::Every {
                key,
                value,
                domain,
                query,
                ..
            } => Kind::Every {
                key: key.as_ref().map(|key| self.name(key)),
                value: self.name(value),
                within: self.term(domain),
                query: self.query(query),
            },
        };
        let with = statement.with_mods.iter();
        Statement {
            place: self.place(&statement.span),
            kind,
            with: with
                .map(|with| (self.term(&with.refr), self.term(&with.r#as)))
                .collect(),
            is_negated: false,
        }
    }

    fn name(&self, span: &Span) -> Term {
        Term::name(self.place(span), span.text())
    }

    fn terms(&self, terms: &[Ref<Expr>]) -> Vec<Term> {
        terms.iter().map(|term| self.term(term)).collect()
    }

    fn term(&self, expr: &Expr) -> Term {
        let text = |value: &regorus::Value| {
            let text = value.as_string().map(ToString::to_string);
            Form::Text(text.unwrap_or_default())
        };
        let infix = |operator, lhs: &Ref<Expr>, rhs: &Ref<Expr>| {
            Form::Infix(operator, Box::new((self.term(lhs), self.term(rhs))))
        };
        let form = match expr {
            Expr::String { value, .. } | Expr::RawString { value, .. } => text(value),
            Expr::Number { span, .. } => Form::Constant(numbers::numeral(span.text())),
            Expr::Bool { span, .. } | Expr::Null { span, .. } => {
                Form::Constant(span.text().to_owned())
            }
            Expr::Var { span, .. } => Form::Name(lexical::without_mark(span.text()).to_owned()),
            Expr::RefDot { .. } | Expr::RefBrack { .. } => return self.reference(expr),
            Expr::Array { items, .. } => Form::Array(self.terms(items)),
            Expr::Set { items, .. } => Form::Set(self.terms(items)),
            Expr::Object { fields, .. } => {
                let members = fields.iter();
                let members = members.map(|(_, key, value)| (self.term(key), self.term(value)));
                Form::Object(members.collect())
            }
            Expr::ArrayCompr { term, query, .. } => {
                Form::Comprehension(Bracket::Square, vec![self.term(term)], self.query(query))
            }
            Expr::SetCompr { term, query, .. } => {
                Form::Comprehension(Bracket::Curly, vec![self.term(term)], self.query(query))
            }
            Expr::ObjectCompr {
                key, value, query, ..
            } => Form::Comprehension(
                Bracket::Curly,
                vec![self.term(key), self.term(value)],
                self.query(query),
            ),
            Expr::Call { fcn, params, .. } => {
                let name = program::dotted(fcn).unwrap_or_default();
                let place = self.term(fcn).place;
                return Term::new(place, Form::Call(name, self.terms(params)));
            }
            Expr::UnaryExpr { expr, .. } => Form::Minus(Box::new(self.term(expr))),
            Expr::BinExpr { op, lhs, rhs, .. } => infix(joining(op), lhs, rhs),
            Expr::BoolExpr { op, lhs, rhs, .. } => infix(comparing(op), lhs, rhs),
            Expr::ArithExpr { op, lhs, rhs, .. } => infix(calculating(op), lhs, rhs),
            Expr::AssignExpr { op, lhs, rhs, .. } => infix(assigning(op), lhs, rhs),
            Expr::Membership {
                key,
                value,
                collection,
                ..
            } => Form::In(
                key.as_ref().map(|key| Box::new(self.term(key))),
                Box::new((self.term(value), self.term(collection))),
            ),
        };
        Term::new(self.place(expr.span()), form)
    }

    /// Chains may be long: one step after another.
    fn reference(&self, whole: &Expr) -> Term {
        let (mut steps, mut current) = (Vec::new(), whole);
        loop {
            match current {
                Expr::RefDot { refr, field, .. } => {
                    let name = Form::Text(field.0.text().to_owned());
                    steps.push(Term::new(self.place(&field.0), name));
                    current = refr;
                }
                Expr::RefBrack { refr, index, .. } => {
                    steps.push(self.term(index));
                    current = refr;
                }
                other => {
                    steps.reverse();
                    let base = self.term(other);
                    return Term::new(base.place, Form::Reference(Box::new(base), steps));
                }
            }
        }
    }
}

fn joining(op: &BinOp) -> &'static str {
    match op {
        BinOp::Intersection => "&",
        BinOp::Union => "|",
    }
}

fn comparing(op: &BoolOp) -> &'static str {
    match op {
        BoolOp::Lt => "<",
        BoolOp::Le => "<=",
        BoolOp::Eq => "==",
        BoolOp::Ge => ">=",
        BoolOp::Gt => ">",
        BoolOp::Ne => "!=",
    }
}

fn calculating(op: &ArithOp) -> &'static str {
    match op {
        ArithOp::Add => "+",
        ArithOp::Sub => "-",
        ArithOp::Mul => "*",
        ArithOp::Div => "/",
        ArithOp::Mod => "%",
    }
}

fn assigning(op: &AssignOp) -> &'static str {
    match op {
        AssignOp::Eq => "=",
        AssignOp::ColEq => ":=",
    }
}
