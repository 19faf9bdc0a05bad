//! The publish API over real loopback sockets, with workers that answer as a test says.

mod bodies;

use super::*;
use ringway_shared::push::{Info, Kept, Place, Present, Refusal};
use serde_json::json;

fn open(hub: fn(usize, Ask) -> Told) -> Port {
    Port::open(Fake { hub, ..Fake::default() })
}

impl Port {
    fn post(&self, path: &str, headers: &str, body: &str) -> Reply {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.say(&(head + body))
    }

    /// Calls a method as a library does; the body of the answer.
    fn call(&self, method: &str, fields: Json) -> Json {
        let reply = self.post(&format!("/api/{method}"), JSON, &fields.to_string());
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("application/json")),
            "{}",
            reply.body
        );
        reply.json()
    }

    fn code(&self, method: &str, fields: Json) -> u64 {
        let body = self.call(method, fields);
        let code = body["error"]["code"].as_u64().unwrap_or_else(|| panic!("{body}"));
        assert!(body.get("result").is_none() && body["error"]["hint"].is_string(), "{body}");
        code
    }
}

const JSON: &str = "content-type: application/json\r\n";

fn place(offset: u64) -> Place {
    Place { offset, epoch: "e1".into() }
}

/// Two workers: what is homed on worker 0 has names of even length.
fn hub(worker: usize, ask: Ask) -> Told {
    Told::Answers(match ask {
        Ask::Publish { topic, data, skip_history, idempotency_key } => {
            assert_eq!(topic.len() % 2, worker);
            let known = skip_history && idempotency_key.as_deref() == Some("k");
            if &*topic == "full" {
                return Told::Answers(Answer::Refused(Refusal::Overloaded));
            }
            Answer::Published(place(if known { 99 } else { data.len() as u64 }))
        }
        Ask::Feed(_) => panic!("nobody publishes to the feed by this way"),
        Ask::Presence { .. } => {
            let present = |client: &str, info: Option<&str>| Present {
                client: client.into(),
                user: "a\"b".into(),
                info: info.map(Into::into),
            };
            Answer::Presence(vec![present("c1", None), present("c2", Some(r#"{"x": 1.0}"#))])
        }
        Ask::PresenceStats { .. } => Answer::PresenceStats { clients: 2, users: 1 },
        Ask::History { since, limit, reverse, .. } => {
            let data = format!(
                r#"{{"since":{:?},"limit":{limit:?},"reverse":{reverse}}}"#,
                since.map_or(0, |place| place.offset)
            );
            let kept = Kept { offset: 7, data: data.replace("Some(", "").replace(')', "").into() };
            Answer::History { publications: vec![kept], place: place(7) }
        }
        Ask::HistoryRemove { .. } => Answer::HistoryRemoved,
        Ask::Channels { pattern } => {
            assert_eq!(pattern.as_deref(), Some("n.*"));
            Answer::Channels(vec![("n.all".into(), 1), (format!("n.{worker}").into(), 5 + worker as u32)])
        }
        Ask::Info => Answer::Info(Info { clients: 10, topics: 3, subscriptions: 20 }),
        Ask::Subscribe { who, topic } => {
            assert_eq!((&*who.user, who.client.as_deref(), &*topic), ("alice", Some("c1"), "news"));
            Answer::Done { connections: worker as u32 }
        }
        Ask::Unsubscribe { who, topic } => {
            assert_eq!((&*who.user, topic), ("alice", None));
            Answer::Done { connections: 0 }
        }
        Ask::Disconnect { spared, code, reason, .. } => {
            let told = (spared.len(), code, &*reason);
            assert!([(0, 3503, "disconnected"), (1, 4000, "bye")].contains(&told), "{told:?}");
            Answer::Done { connections: 1 }
        }
    })
}

#[test]
fn methods_answer_in_centrifugos_shapes() {
    let port = open(hub);
    let result = |method, fields| port.call(method, fields)["result"].clone();
    assert_eq!(
        result("publish", json!({"channel": "news", "data": {"a": 1}})),
        json!({"offset": 7, "epoch": "e1"})
    );
    let known = json!({"channel": "news", "data": null, "skip_history": true, "idempotency_key": "k"});
    assert_eq!(result("publish", known)["offset"], 99);
    let user = json!({"user": "alice", "client": "c1", "channel": "news"});
    assert_eq!(result("subscribe", user), json!({}));
    assert_eq!(result("unsubscribe", json!({"user": "alice", "channel": ""})), json!({}));
    assert_eq!(result("disconnect", json!({"user": "alice"})), json!({}));
    let farewell =
        json!({"user": "alice", "whitelist": ["c2"], "disconnect": {"code": 4000, "reason": "bye"}});
    assert_eq!(result("disconnect", farewell), json!({}));
    let present = result("presence", json!({"channel": "news"}));
    assert_eq!(present["presence"]["c1"], json!({"client": "c1", "user": "a\"b"}));
    assert_eq!(present["presence"]["c2"]["conn_info"], json!({"x": 1.0}));
    assert_eq!(
        result("presence_stats", json!({"channel": "news"})),
        json!({"num_clients": 2, "num_users": 1})
    );
    assert_eq!(result("history_remove", json!({"channel": "news"})), json!({}));
    let channels = json!({"channels": {"n.0": {"num_clients": 5}, "n.1": {"num_clients": 6}, "n.all": {"num_clients": 2}}});
    assert_eq!(result("channels", json!({"pattern": "n.*"})), channels);
    let node = &result("info", json!({}))["nodes"][0];
    let numbers =
        ["num_clients", "num_users", "num_channels", "num_subs"].map(|name| node[name].as_u64().unwrap());
    assert_eq!(numbers, [20, 3, 6, 40]);
    assert_eq!(
        (&node["name"], &node["version"], &node["uptime"]),
        (&"host_8765".into(), &"1.2.3".into(), &10.into())
    );
    assert_eq!(node["uid"].as_str().unwrap().len(), 16);
}

#[test]
fn history_limits_mean_what_they_mean_to_centrifugo() {
    let port = open(hub);
    for (fields, asked) in [
        (json!({}), json!({"since": 0, "limit": 0, "reverse": false})),
        (json!({"limit": 5, "reverse": true}), json!({"since": 0, "limit": 5, "reverse": true})),
        (
            json!({"limit": -1, "since": {"offset": 3, "epoch": "e"}}),
            json!({"since": 3, "limit": 10_001, "reverse": false}),
        ),
    ] {
        let mut fields = fields;
        fields["channel"] = "news".into();
        let result = &port.call("history", fields)["result"];
        assert_eq!(
            (&result["publications"][0]["data"], &result["offset"], &result["epoch"]),
            (&asked, &7.into(), &"e1".into())
        );
    }
    for limit in [json!(-2), json!(1.5), json!("1")] {
        assert_eq!(port.code("history", json!({"channel": "news", "limit": limit})), 107);
    }
    assert_eq!(port.code("history", json!({"channel": "news", "limit": 10_001})), 106);
}

#[test]
fn data_arrives_as_it_was_written() {
    let port = open(|_, ask| match ask {
        Ask::Publish { data, .. } if &*data == r#"{"n": 1.50, "a":  [ "\u0041" ]}"# => {
            Told::Answers(Answer::Published(place(1)))
        }
        _ => Told::Loses,
    });
    let body = r#"{"channel": "news", "data": {"n": 1.50, "a":  [ "\u0041" ]} }"#;
    assert_eq!(port.post("/api/publish", JSON, body).json()["result"]["offset"], 1);
}

#[test]
fn a_broadcast_answers_for_each_channel_in_its_order() {
    let port = open(hub);
    let names = ["a", "bb", "full", "no good", "ccc"];
    let responses = &port.call("broadcast", json!({"channels": names, "data": "x"}))["result"]["responses"];
    let told: Vec<_> = responses
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["result"]["offset"].as_u64(), one["error"]["code"].as_u64()))
        .collect();
    assert_eq!(
        told,
        [(Some(3), None), (Some(3), None), (None, Some(111)), (None, Some(107)), (Some(3), None)]
    );
    let many: Vec<String> = (0..10_001).map(|n| format!("channel-{n}")).collect();
    let responses =
        port.call("broadcast", json!({"channels": &many[1..], "data": 1}))["result"]["responses"].clone();
    let responses = responses.as_array().unwrap();
    assert_eq!(responses.len(), 10_000);
    assert!(responses.iter().all(|one| one["result"]["offset"] == 1));
    assert_eq!(port.code("broadcast", json!({"channels": many, "data": 1})), 106);
    assert_eq!(port.code("broadcast", json!({"channels": [], "data": 1})), 107);
}

#[test]
fn what_is_wrong_is_told_by_code_and_name() {
    let port = open(hub);
    let fault = |method, fields, part: &str| {
        let body = port.call(method, fields);
        assert!(body["error"]["message"].as_str().unwrap().contains(part), "{body}");
    };
    fault("publish", json!({"data": 1}), "channel is missing");
    fault("publish", json!({"channel": "news"}), "data is missing");
    fault("publish", json!({"channel": 7, "data": 1}), "channel must be a string");
    fault(
        "publish",
        json!({"channel": "news", "data": 1, "skip_history": 1}),
        "skip_history must be true or false",
    );
    fault("publish", json!({"channel": "news.*", "data": 1}), "no channel can be called \"news.*\"");
    fault("publish", json!({"channel": "news", "data": 1, "b64data": "eA=="}), "b64data is not supported");
    fault(
        "publish",
        json!({"channel": "news", "data": 1, "idempotency_key": "k".repeat(129)}),
        "idempotency_key is longer",
    );
    fault("broadcast", json!({"channels": [1], "data": 1}), "channels must be a list of strings");
    fault("subscribe", json!({"channel": "news"}), "user is missing");
    fault("subscribe", json!({"channel": "news", "user": "a", "expire_at": 9}), "expire_at is not supported");
    fault("disconnect", json!({"user": "alice", "disconnect": {"code": 1000}}), "disconnect.code must be");
    fault(
        "disconnect",
        json!({"user": "alice", "disconnect": {"code": 65536 + 4000}}),
        "disconnect.code must be",
    );
    fault(
        "disconnect",
        json!({"user": "alice", "disconnect": {"reason": "x".repeat(124)}}),
        "reason is longer",
    );
    fault("presence", json!({}), "channel is missing");
    fault("channels", json!({"pattern": "*news"}), "bad request: pattern ");
    assert_eq!(port.code("publish", json!({"channel": "news", "data": "x".repeat(1 << 20)})), 106);
    // What Centrifugo does not know either is left alone, and so is what says nothing.
    port.call("publish", json!({"channel": "news", "data": 1, "more": 1, "tags": {}, "delta": false}))["result"]["offset"].as_u64().unwrap();
}

#[test]
fn what_is_no_json_is_answered_400() {
    let port = open(hub);
    for body in ["{", "[]", "7", "", "{\"channel\":\"a\"", "\u{1}"] {
        let wanted = if body.is_empty() { 200 } else { 400 };
        let reply = port.post("/api/publish", JSON, body);
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (wanted, &107.into()),
            "{body:?}: {}",
            reply.body
        );
    }
    let mut stream = port.connect();
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{JSON}content-length: 2\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), b"\xff\xfe"].concat()).unwrap();
    assert_eq!(Reply::read(&mut stream).status, 400);
    for path in ["/api/batch", "/api"] {
        assert_eq!(port.post(path, JSON, "{\"a").status, 400, "{path}");
    }
}

#[test]
fn a_silent_worker_is_named_and_the_others_serve_on() {
    let port = open(|worker, ask| if worker == 0 { Told::Keeps } else { hub(worker, ask) });
    let began = Instant::now();
    let names: Vec<String> = (0..2_000).map(|n| "x".repeat(1 + n % 2)).collect();
    let body = port.call("broadcast", json!({"channels": names, "data": 1}));
    let responses = body["result"]["responses"].as_array().unwrap();
    for (name, response) in names.iter().zip(responses) {
        let message = response["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(name.len() == 2, message.contains("worker 0 gave no answer within 2 s"), "{response}");
    }
    let body = port.call("channels", json!({"pattern": "n.*"}));
    assert_eq!(body["error"]["code"], 100);
    assert!(body["error"]["message"].as_str().unwrap().contains("worker 0"), "{body}");
    // A batch waits for it once.
    let commands: Vec<Json> = (0..100).map(|_| json!({"info": {}})).collect();
    let replies =
        &port.post("/api/batch", JSON, &json!({"commands": commands}).to_string()).json()["replies"];
    assert!(replies.as_array().unwrap().iter().all(|reply| reply["error"]["code"] == 100), "{replies}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_worker_that_loses_a_question_or_takes_none_is_told_at_once() {
    let lost = open(|_, _| Told::Loses);
    let full = open(|_, _| Told::Refuses);
    let began = Instant::now();
    assert_eq!(lost.code("publish", json!({"channel": "news", "data": 1})), 100);
    assert_eq!(full.code("publish", json!({"channel": "news", "data": 1})), 111);
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
}

#[test]
fn refusals_of_workers_have_their_codes() {
    for (hub, code) in [
        ((|_, _| Told::Answers(Answer::Refused(Refusal::Overloaded))) as fn(usize, Ask) -> Told, 111),
        (|_, _| Told::Answers(Answer::Refused(Refusal::TooManyTopics)), 106),
        (|_, _| Told::Answers(Answer::Refused(Refusal::NotAvailable)), 108),
        (|_, _| Told::Answers(Answer::Refused(Refusal::SubscriptionLimit)), 106),
        (|_, _| Told::Answers(Answer::Refused(Refusal::BadTopic)), 107),
        (|_, _| Told::Answers(Answer::Refused(Refusal::OtherEpoch)), 112),
        (|_, _| Told::Answers(Answer::HistoryRemoved), 100),
    ] {
        assert_eq!(open(hub).code("presence", json!({"channel": "news"})), code);
    }
}

#[test]
fn batches_and_the_old_form_answer_each_command() {
    let port = open(hub);
    let commands = json!({"parallel": true, "commands": [
        {"publish": {"channel": "news", "data": 1}},
        {"presence_stats": {"channel": "news"}},
        {"rpc": {}},
        {"publish": {"channel": "news"}},
        {"publish": {}, "info": {}},
        {},
    ]});
    let replies = port.post("/api/batch", JSON, &commands.to_string()).json()["replies"].clone();
    assert_eq!(replies[0], json!({"publish": {"offset": 1, "epoch": "e1"}}));
    assert_eq!(replies[1], json!({"presence_stats": {"num_clients": 2, "num_users": 1}}));
    let codes: Vec<_> =
        (2..6).map(|index: usize| replies[index]["error"]["code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [104, 107, 107, 107]);
    let many: Vec<Json> = (0..1_001).map(|_| json!({"info": {}})).collect();
    assert_eq!(port.code("batch", json!({"commands": many})), 106);

    let commands = "{\"method\":\"publish\",\"params\":{\"channel\":\"news\",\"data\":1}}\n{\"id\":4,\"method\":\"info\"} {\"method\":\"x\"}";
    let reply = port.post("/api", JSON, commands);
    let lines: Vec<Json> = reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"result": {"offset": 1, "epoch": "e1"}}));
    assert_eq!((&lines[1]["id"], &lines[1]["result"]["nodes"][0]["num_clients"]), (&4.into(), &20.into()));
    assert_eq!(lines[2]["error"]["code"], 104);
}

#[test]
fn keys_are_asked_for_where_there_are_any() {
    let keyed = Port::open(Fake { hub, sets: &["control.api_keys=[a-long-key]"], ..Fake::default() });
    let body = r#"{"channel":"news","data":1}"#;
    for (headers, status) in [
        ("", 401),
        ("x-api-key: a-long-kez\r\n", 401),
        ("x-api-key: a-long-key\r\n", 200),
        ("authorization: apikey a-long-key\r\n", 200),
        ("x-api-key: a-long-key\r\norigin: http://evil.example\r\n", 403),
    ] {
        let reply = keyed.post("/api/publish", headers, body);
        assert_eq!(reply.status, status, "{headers}: {}", reply.body);
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
    let open = open(hub);
    for (headers, status) in
        [("", 415), ("content-type: text/plain\r\n", 415), ("origin: null\r\n", 403), (JSON, 200)]
    {
        assert_eq!(open.post("/api/publish", headers, body).status, status, "{headers}");
    }
    let rebound = format!(
        "POST /api/info HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n{JSON}content-length: 0\r\n\r\n"
    );
    assert_eq!(open.say(&rebound).status, 403);
}

#[test]
fn methods_paths_and_sizes_are_as_everywhere() {
    let port = open(hub);
    let wrong = port.ask("GET", "/api/publish", "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("post")));
    assert_eq!(port.post("/api/rpc", JSON, "{}").status, 404);
    let declared =
        format!("POST /api/publish HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: 4194305\r\n\r\n");
    assert_eq!(port.say(&declared).status, 413);
    let fits = format!(r#"{{"channel":"news","data":1,"more":"{}"}}"#, "x".repeat(4_000_000));
    assert_eq!(port.post("/api/publish", JSON, &fits).status, 200);
    let counted: Vec<_> =
        port.ended.try_iter().map(|(method, path, status)| format!("{method} {path} {status}")).collect();
    assert_eq!(
        counted,
        ["GET /api/publish 405", "POST other 404", "POST /api/publish 413", "POST /api/publish 200"]
    );
}
