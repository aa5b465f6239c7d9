//! Makes a document smaller, one piece at a time, as long as it still shows what it was found for.

use async_graphql_value::Value as Literal;

use super::document::{Directive, Document, Selection};

impl Document {
    /// The smallest document found that `still_fails`.
    pub(crate) async fn shrunk(mut self, still_fails: impl AsyncFn(&Document) -> bool) -> Self {
        for operation in self.operations.clone() {
            let mut alone = self.clone();
            alone.operations = vec![operation];
            alone.chosen = 0;
            alone.tidy();
            if still_fails(&alone).await {
                self = alone;
                break;
            }
        }
        let mut piece = 0;
        loop {
            let mut smaller = self.clone();
            if !smaller.drops(piece) {
                return self;
            }
            smaller.tidy();
            if still_fails(&smaller).await {
                self = smaller;
            } else {
                piece += 1;
            }
        }
    }

    /// Drops the piece of this number; false: there are not so many.
    fn drops(&mut self, piece: usize) -> bool {
        let mut dropping = Dropping { left: piece };
        let operations = self.operations.iter_mut().map(|one| &mut one.set);
        let fragments = self.fragments.iter_mut().map(|one| &mut one.set);
        let mut sets = operations.chain(fragments);
        sets.any(|set| dropping.set(set))
    }
}

struct Dropping {
    left: usize,
}

impl Dropping {
    /// Counts a piece; whether it is the one to drop.
    fn is_it(&mut self) -> bool {
        let is_it = self.left == 0;
        self.left = self.left.wrapping_sub(1);
        is_it
    }

    fn set(&mut self, set: &mut Vec<Selection>) -> bool {
        for position in 0..set.len() {
            if set.len() > 1 && self.is_it() {
                set.remove(position);
                return true;
            }
            // what is in a fragment on no type may stand without it
            if let Selection::Inline {
                set: inner,
                on: None,
                ..
            } = &set[position]
                && self.is_it()
            {
                let inner = inner.clone();
                set.splice(position..=position, inner);
                return true;
            }
            let dropped = match &mut set[position] {
                Selection::Field(field) => {
                    self.arguments(&mut field.arguments)
                        || self.directives(&mut field.directives)
                        || self.set(&mut field.set)
                }
                Selection::Inline {
                    directives, set, ..
                } => self.directives(directives) || self.set(set),
                Selection::Spread { directives, .. } => self.directives(directives),
            };
            if dropped {
                return true;
            }
        }
        false
    }

    fn directives(&mut self, directives: &mut Vec<Directive>) -> bool {
        let drops = !directives.is_empty() && self.is_it();
        if drops {
            directives.clear();
        }
        drops
    }

    fn arguments(&mut self, arguments: &mut Vec<(String, Literal)>) -> bool {
        for position in 0..arguments.len() {
            if self.is_it() {
                arguments.remove(position);
                return true;
            }
            if self.value(&mut arguments[position].1) {
                return true;
            }
        }
        false
    }

    fn value(&mut self, value: &mut Literal) -> bool {
        match value {
            Literal::List(items) => {
                for position in 0..items.len() {
                    if self.is_it() {
                        items.remove(position);
                        return true;
                    }
                    if self.value(&mut items[position]) {
                        return true;
                    }
                }
                false
            }
            Literal::Object(members) => {
                for position in 0..members.len() {
                    if self.is_it() {
                        members.shift_remove_index(position);
                        return true;
                    }
                    if self.value(&mut members[position]) {
                        return true;
                    }
                }
                false
            }
            _ => false,
        }
    }
}
