//! The document holds every route, and nothing else.

use super::*;

fn whole() -> Json {
    document(routes::all(), "1.2.3", false)
}

#[test]
fn every_route_stands_in_the_document_with_its_method_and_nothing_else_does() {
    let document = whole();
    let paths = document["paths"].as_object().unwrap();
    for route in routes::all() {
        let operation = &paths[route.path][route.method.to_ascii_lowercase()];
        assert_eq!(operation["summary"], route.summary, "{} {}", route.method, route.path);
        assert_eq!(operation["x-ringway-scope"], route.scope.label());
        for said in route.answers {
            assert!(
                operation["responses"][said.status.to_string()].is_object(),
                "{} {}",
                route.path,
                said.status
            );
        }
        assert_eq!(operation["requestBody"].is_object(), route.body.is_some(), "{}", route.path);
    }
    let operations: usize = paths.values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations, routes::all().count(), "two routes have one method and path");
}

#[test]
fn what_stands_in_a_path_is_a_parameter_and_parameters_are_schemas() {
    for route in routes::all() {
        for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert!(route.parameters.iter().any(|known| known.name == name), "{}: {name}", route.path);
        }
        for known in route.parameters {
            let schema = serde_json::from_str::<Json>(known.schema);
            assert!(schema.is_ok_and(|schema| schema.is_object()), "{} {}", route.path, known.name);
        }
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let mut ids: Vec<_> = routes::all().map(operation_id).collect();
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
    assert!(
        ids.contains(&"get_index".to_owned()) && ids.contains(&"post_api_v1_drill".to_owned()),
        "{ids:?}"
    );
}

#[test]
fn the_document_is_the_same_each_time_and_says_nothing_of_what_is_not_served() {
    assert_eq!(whole().to_string(), whole().to_string());
    let without = document(routes::all().filter(|route| !route.test_only), "1.2.3", false);
    for (document, there) in [(whole(), true), (without, false)] {
        assert_eq!(document["paths"]["/api/v1/drill"].is_object(), there);
        assert_eq!(document["components"]["schemas"]["Told"].is_object(), there);
        assert_eq!(document["tags"].to_string().contains("Tests"), there);
    }
}

#[test]
fn nobody_is_enough_only_where_nobody_is_asked() {
    for (asks, nobody) in [(false, true), (true, false)] {
        let document = document(routes::all(), "1.2.3", asks);
        let ways = document["paths"]["/stats"]["get"]["security"].as_array().unwrap().clone();
        assert_eq!(ways.contains(&json!({})), nobody);
        assert!(ways.contains(&json!({"bearer": []})));
        assert_eq!(document["paths"]["/livez"]["get"]["security"], json!([]));
    }
}

#[test]
fn a_status_with_a_meaning_of_its_own_keeps_it_beside_the_common_fault() {
    let content = &whole()["paths"]["/livez"]["get"]["responses"]["503"]["content"];
    assert!(content[JSON].is_object() && content[PROBLEM].is_object(), "{content}");
    let metrics = &whole()["paths"]["/metrics"]["get"]["responses"]["200"]["content"];
    assert!(
        metrics["text/plain"].is_object() && metrics["application/openmetrics-text"].is_object(),
        "{metrics}"
    );
}
