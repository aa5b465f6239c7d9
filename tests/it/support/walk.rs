//! Every question that the schema allows, up to a depth: made from the schema itself, so that a field or an argument
//! that is added tomorrow is asked for tomorrow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

const INTROSPECTION: &str = "{ __schema { types { name kind possibleTypes { name } enumValues { name } \
     inputFields { name type { ...T } } \
     fields { name type { ...T } args { name type { ...T } } } } } } \
     fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// What may stand in an argument.
#[derive(Default)]
pub(crate) struct Words {
    /// Ids of everything that may be asked for by id; the first few stand in filters, too.
    pub(crate) ids: Vec<String>,
    /// Places in lists.
    pub(crate) cursors: Vec<String>,
    /// Texts to look for.
    pub(crate) texts: Vec<String>,
}

/// How many of the ids stand in filters: each stands beside every operator of every field.
const IDS_IN_FILTERS: usize = 2;

/// A schema, as it describes itself.
pub(crate) struct Graph {
    types: BTreeMap<String, Value>,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A type without its lists and exclamation marks.
fn named(ty: &Value) -> &Value {
    let mut ty = ty;
    while !ty["ofType"].is_null() {
        ty = &ty["ofType"];
    }
    ty
}

fn is_leaf(field: &Value) -> bool {
    matches!(text(&named(&field["type"])["kind"]), "SCALAR" | "ENUM")
}

fn needs_arguments(field: &Value) -> bool {
    let mut arguments = list(&field["args"]).iter();
    arguments.any(|argument| argument["type"]["kind"] == "NON_NULL")
}

fn needs_an_id(field: &Value) -> bool {
    list(&field["args"]).iter().any(|argument| {
        let ty = &argument["type"];
        ty["kind"] == "NON_NULL" && named(ty)["name"] == "ID"
    })
}

impl Graph {
    /// The question whose answer [`Graph::read`] takes.
    pub(crate) const QUESTION: &str = INTROSPECTION;

    pub(crate) fn read(answer: &Value) -> Self {
        let types = list(&answer["__schema"]["types"]).iter();
        let types: BTreeMap<String, Value> = types
            .map(|ty| (text(&ty["name"]).to_owned(), ty.clone()))
            .collect();
        assert!(types.len() > 30, "the schema describes itself: {answer}");
        Self { types }
    }

    pub(crate) fn fields(&self, ty: &str) -> &[Value] {
        list(&self.types[ty]["fields"])
    }

    /// Literals for a type, at least one.
    fn values(&self, name: &str, ty: &Value, words: &Words, depth: usize) -> Vec<String> {
        let quoted = |words: &[String]| words.iter().map(|word| format!("{word:?}")).collect();
        match text(&ty["kind"]) {
            "NON_NULL" => self.values(name, &ty["ofType"], words, depth),
            "LIST" => {
                let each = self.values(name, &ty["ofType"], words, depth);
                let mut lists: Vec<String> = Vec::new();
                if depth == 0 {
                    lists.extend(each.iter().map(|one| format!("[{one}]")));
                }
                lists.push(format!("[{}]", each.join(", ")));
                lists
            }
            "ENUM" => list(&self.types[text(&ty["name"])]["enumValues"])
                .iter()
                .map(|value| text(&value["name"]).to_owned())
                .collect(),
            "INPUT_OBJECT" => self.objects(text(&ty["name"]), words, depth),
            _ => match (text(&ty["name"]), name) {
                ("String", "after" | "before") => quoted(&words.cursors),
                ("String", _) => quoted(&words.texts[..1]),
                ("ID", _) if depth > 0 => quoted(&words.ids[..IDS_IN_FILTERS]),
                ("ID", _) => quoted(&words.ids),
                ("Int", "first" | "last") => vec!["50".to_owned()],
                ("Int" | "Float", _) => vec!["0".to_owned(), "1".to_owned()],
                ("Boolean", _) => vec!["true".to_owned(), "false".to_owned()],
                ("DateTime", _) => quoted(&["2021-01-01T00:00:00Z".to_owned()]),
                (other, _) => panic!("{name}: no value for a {other} is known; add one"),
            },
        }
    }

    /// Input objects, one member each; `and`, `or` and `not` around one of them.
    fn objects(&self, ty: &str, words: &Words, depth: usize) -> Vec<String> {
        let mut objects = Vec::new();
        for field in list(&self.types[ty]["inputFields"]) {
            let name = text(&field["name"]);
            let is_recursive = text(&named(&field["type"])["name"]) == ty;
            if is_recursive && depth > 0 {
                continue;
            }
            let mut values = self.values(name, &field["type"], words, depth + 1);
            if is_recursive {
                values.truncate(2);
            }
            objects.extend(values.iter().map(|value| format!("{{{name}: {value}}}")));
        }
        objects
    }

    /// Arguments as plain as possible: what must be there, and pages large enough for everything.
    fn plain_arguments(&self, field: &Value, words: &Words) -> Vec<(String, String)> {
        let wanted = |argument: &&Value| {
            argument["type"]["kind"] == "NON_NULL" || argument["name"] == "first"
        };
        list(&field["args"])
            .iter()
            .filter(wanted)
            .map(|argument| {
                let name = text(&argument["name"]);
                let mut values = self.values(name, &argument["type"], words, 0);
                (name.to_owned(), values.pop().expect("a value"))
            })
            .collect()
    }

    /// A field with each value of each of its arguments, the others plain.
    fn with_each_argument(&self, field: &Value, words: &Words) -> Vec<String> {
        let plain = self.plain_arguments(field, words);
        let name = text(&field["name"]);
        let mut all = vec![call(name, &plain)];
        for argument in list(&field["args"]) {
            let own = text(&argument["name"]);
            for value in self.values(own, &argument["type"], words, 0) {
                let mut arguments = plain.clone();
                // a page is asked for from one end
                arguments.retain(|(name, _)| {
                    name != own && !(matches!(own, "last" | "before") && name == "first")
                });
                arguments.push((own.to_owned(), value));
                if own == "before" {
                    arguments.push(("last".to_owned(), "50".to_owned()));
                }
                all.push(call(name, &arguments));
            }
        }
        all
    }

    /// Everything of a type that has no fields of its own, and `more` besides.
    fn leaves(&self, ty: &str, more: &str) -> String {
        let possible = list(&self.types[ty]["possibleTypes"]);
        if !possible.is_empty() {
            let fragments: Vec<String> = possible
                .iter()
                .map(|one| {
                    let one = text(&one["name"]);
                    // members of one name have different types
                    let leaves = self.leaf_names(one).into_iter();
                    let leaves: Vec<String> =
                        leaves.map(|leaf| format!("{one}_{leaf}: {leaf}")).collect();
                    format!("... on {one} {{ {} }}", leaves.join(" "))
                })
                .collect();
            return format!("{{ __typename {} {more} }}", fragments.join(" "));
        }
        format!("{{ __typename {} {more} }}", self.leaf_names(ty).join(" "))
    }

    fn leaf_names(&self, ty: &str) -> Vec<&str> {
        self.fields(ty)
            .iter()
            .filter(|field| is_leaf(field) && !needs_arguments(field))
            .map(|field| text(&field["name"]))
            .collect()
    }

    /// The selection of a type: its leaves, of a list its pages, and `more` of each record.
    fn selection(&self, ty: &str, more: &str) -> String {
        if !ty.ends_with("Connection") {
            return self.leaves(ty, more);
        }
        let mut parts = Vec::new();
        for field in self.fields(ty).iter().filter(|field| !is_leaf(field)) {
            let name = text(&field["name"]);
            let target = text(&named(&field["type"])["name"]);
            parts.push(match name {
                "nodes" => format!("nodes {}", self.leaves(target, more)),
                "edges" => {
                    let node = self.fields(target).iter();
                    let mut node = node.filter(|field| field["name"] == "node");
                    let node = node.next().expect("an edge leads to a record");
                    let node = self.leaves(text(&named(&node["type"])["name"]), "");
                    format!("edges {{ cursor node {node} }}")
                }
                _ => format!("{name} {}", self.leaves(target, "")),
            });
        }
        self.leaves(ty, &parts.join(" "))
    }

    /// What one gets to from a type, beyond the pages of its own list.
    pub(crate) fn beyond(&self, ty: &str) -> Vec<(&Value, &str)> {
        let record = ty.strip_suffix("Connection").unwrap_or(ty);
        self.fields(record)
            .iter()
            .filter(|field| !is_leaf(field))
            .map(|field| (field, text(&named(&field["type"])["name"])))
            .collect()
    }

    /// Every way of up to `deepest` fields from a root field that needs no id; the last step of each is taken in all
    /// directions at once.
    pub(crate) fn ways(&self, root: &str, deepest: usize, words: &Words) -> Vec<String> {
        let mut ways = Vec::new();
        for (field, target) in self.beyond(root) {
            if needs_an_id(field) {
                continue;
            }
            let asked = call(text(&field["name"]), &self.plain_arguments(field, words));
            for below in self.below(target, deepest - 1, words) {
                ways.push(format!("{{ {asked} {} }}", self.selection(target, &below)));
            }
        }
        ways
    }

    /// What may stand beside the leaves of a type, `depth` fields deep.
    fn below(&self, ty: &str, depth: usize, words: &Words) -> Vec<String> {
        if self.fields(ty).is_empty() || !list(&self.types[ty]["possibleTypes"]).is_empty() {
            return vec![String::new()];
        }
        let step = |field: &Value, target: &str, below: &str| {
            let asked = call(text(&field["name"]), &self.plain_arguments(field, words));
            format!("{asked} {}", self.selection(target, below))
        };
        let beyond = self.beyond(ty);
        if depth <= 1 || beyond.is_empty() {
            let all: Vec<String> = beyond
                .iter()
                .map(|(field, target)| step(field, target, ""))
                .collect();
            return vec![all.join(" ")];
        }
        let mut ways = Vec::new();
        for (field, target) in beyond {
            for below in self.below(target, depth - 1, words) {
                ways.push(step(field, target, &below));
            }
        }
        ways
    }

    /// What is found by an id, for each id, and what lies around it.
    pub(crate) fn by_ids(&self, root: &str, words: &Words) -> Vec<String> {
        let mut questions = Vec::new();
        for (field, target) in self.beyond(root) {
            if needs_an_id(field) {
                let around = self.below(target, 1, words).concat();
                for asked in self.with_each_argument(field, words) {
                    questions.push(format!("{{ {asked} {} }}", self.selection(target, &around)));
                }
            }
        }
        questions
    }

    /// Every value of every argument: of each root field, and of each kind of argument below them once.
    pub(crate) fn arguments(&self, root: &str, words: &Words) -> Vec<String> {
        let mut questions = Vec::new();
        let mut seen = BTreeSet::new();
        for (field, target) in self.beyond(root) {
            // from what is no list one looks around
            let around = match !target.ends_with("Connection") {
                true => self.below(target, 1, words).concat(),
                false => String::new(),
            };
            for asked in self.with_each_argument(field, words) {
                questions.push(format!("{{ {asked} {} }}", self.selection(target, &around)));
            }
            let outer = call(text(&field["name"]), &self.plain_arguments(field, words));
            for (inner, inner_target) in self.beyond(target) {
                let kinds = list(&inner["args"]).iter();
                let kinds: Vec<&str> = kinds.map(|a| text(&named(&a["type"])["name"])).collect();
                if !seen.insert((inner_target, kinds)) {
                    continue;
                }
                for asked in self.with_each_argument(inner, words) {
                    let more = format!("{asked} {}", self.selection(inner_target, ""));
                    questions.push(format!("{{ {outer} {} }}", self.selection(target, &more)));
                }
            }
        }
        questions
    }

    /// Every mutation, with each value of each argument.
    pub(crate) fn mutations(&self, words: &Words) -> Vec<String> {
        let mut mutations = Vec::new();
        for (field, target) in self.beyond("Mutation") {
            for asked in self.with_each_argument(field, words) {
                mutations.push(format!(
                    "mutation {{ {asked} {} }}",
                    self.leaves(target, "")
                ));
            }
        }
        mutations
    }
}

fn call(name: &str, arguments: &[(String, String)]) -> String {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    if arguments.is_empty() {
        name.to_owned()
    } else {
        format!("{name}({})", arguments.join(", "))
    }
}

/// Every text under one of these names, wherever it is in an answer.
pub(crate) fn texts_under(answer: &Value, names: &[&str], found: &mut BTreeSet<String>) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => {
                        found.insert(text.clone());
                    }
                    other => texts_under(other, names, found),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| texts_under(item, names, found)),
        _ => {}
    }
}
