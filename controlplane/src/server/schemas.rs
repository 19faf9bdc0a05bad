//! The JSON Schemas (2020-12) of what is asked and answered, by the names that routes call them. A page has a file of them in
//! `schemas/`; they point to each other as `#/components/schemas/Name`. To add one is to write it there.

use serde_json::{Map, Value as Json};

/// A fault; every route may answer it.
pub const PROBLEM: &str = "Problem";
/// A fault of the publish API.
pub const PUSH_FAULT: &str = "PushFault";

const PREFIX: &str = "#/components/schemas/";

const FILES: &[&str] = &[
    include_str!("schemas/problem.json"),
    include_str!("schemas/openapi.json"),
    include_str!("schemas/config.json"),
    include_str!("schemas/reload.json"),
    include_str!("schemas/health.json"),
    include_str!("schemas/stats.json"),
    include_str!("schemas/memory.json"),
    include_str!("schemas/connections.json"),
    include_str!("schemas/top.json"),
    include_str!("schemas/history.json"),
    include_str!("schemas/feed.json"),
    include_str!("schemas/alerts.json"),
    include_str!("schemas/drain.json"),
    include_str!("schemas/upgrade.json"),
    include_str!("schemas/push.json"),
    include_str!("schemas/drill.json"),
    include_str!("schemas/debug.json"),
    include_str!("schemas/smoke.json"),
];

/// Every schema, by name.
pub fn all() -> Map<String, Json> {
    // A test reads every file.
    let files = FILES.iter().filter_map(|file| serde_json::from_str::<Map<_, _>>(file).ok());
    files.flatten().collect()
}

/// The schema with this name.
pub fn named(name: &str) -> Option<Json> {
    all().remove(name)
}

/// A reference to the schema with this name.
pub fn reference(name: &str) -> Json {
    serde_json::json!({"$ref": format!("{PREFIX}{name}")})
}

/// The schemas that `text` needs, directly or by others, in the files' order.
pub fn needed_by(text: &Json) -> Map<String, Json> {
    let all = all();
    let mut names = Vec::new();
    collect(text, &mut names);
    let mut seen = 0;
    while let Some(name) = names.get(seen).cloned() {
        seen += 1;
        if let Some(schema) = all.get(&name) {
            collect(schema, &mut names);
        }
    }
    all.into_iter().filter(|(name, _)| names.contains(name)).collect()
}

/// Adds the names of the schemas that `value` refers to, each once.
fn collect(value: &Json, names: &mut Vec<String>) {
    match value {
        Json::Object(members) => {
            for (key, member) in members {
                match member.as_str().and_then(|text| text.strip_prefix(PREFIX)) {
                    Some(name) if key == "$ref" => {
                        if !names.iter().any(|known| known == name) {
                            names.push(name.to_owned());
                        }
                    }
                    _ => collect(member, names),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::routes;

    #[test]
    fn every_file_is_a_set_of_schemas_and_no_name_is_given_twice() {
        let mut names: Vec<String> = Vec::new();
        for file in FILES {
            let schemas: Map<String, Json> =
                serde_json::from_str(file).unwrap_or_else(|error| panic!("{error}: {file:.60}"));
            names.extend(schemas.into_iter().map(|(name, schema)| {
                assert!(schema.is_object(), "{name}");
                name
            }));
        }
        let mut once = names.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "a name is given twice: {names:?}");
    }

    #[test]
    fn routes_and_schemas_name_schemas_that_exist_and_none_is_left_over() {
        let all = all();
        let mut named: Vec<String> = vec![PROBLEM.to_owned(), PUSH_FAULT.to_owned()];
        for route in routes::all() {
            let answers = route.answers.iter().filter_map(|said| said.content);
            let schemas = route.body.into_iter().chain(answers).filter_map(|content| content.schema);
            for name in schemas {
                assert!(
                    all.contains_key(name),
                    "{} {} names {name}: add it to schemas/",
                    route.method,
                    route.path
                );
                named.push(name.to_owned());
            }
        }
        let roots = Json::Array(named.iter().map(|name| reference(name)).collect());
        let needed = needed_by(&roots);
        let idle: Vec<_> = all.keys().filter(|name| !needed.contains_key(*name)).collect();
        assert!(idle.is_empty(), "nobody names {idle:?}");
        let mut referred = Vec::new();
        all.values().for_each(|schema| collect(schema, &mut referred));
        let missing: Vec<_> = referred.iter().filter(|name| !all.contains_key(*name)).collect();
        assert!(missing.is_empty(), "schemas refer to {missing:?}");
    }
}
