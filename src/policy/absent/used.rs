//! How an expression is used: what it does to an objection that the expression is undefined, or finds less.

/// What it means for a request that something is undefined, or that a collection has less in it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Effect {
    /// An objection is not made.
    Silent,
    /// An objection is made.
    Loud,
    /// Nobody can say.
    Unclear,
}

impl Effect {
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Silent => Self::Loud,
            Self::Loud => Self::Silent,
            Self::Unclear => Self::Unclear,
        }
    }
}

/// How an expression is used.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Use {
    /// If it is undefined itself.
    pub(super) undefined: Effect,
    /// If what it is made of is undefined: OPA looks that up outside of `not`.
    pub(super) parts: Effect,
    /// If it has less in it.
    pub(super) less: Effect,
    /// It is wanted to be false.
    pub(super) negated: bool,
}

impl Use {
    pub(super) const OBJECTION: Self = Self::plain(Effect::Silent);

    /// What has to be true, or the request is denied.
    pub(super) const PERMISSION: Self = Self {
        undefined: Effect::Loud,
        negated: true,
        ..Self::plain(Effect::Silent)
    };

    pub(super) const fn plain(effect: Effect) -> Self {
        Self {
            undefined: effect,
            parts: effect,
            less: effect,
            negated: false,
        }
    }

    pub(super) fn part(self, less: Effect) -> Self {
        Self {
            less,
            ..Self::plain(self.parts)
        }
    }
}
