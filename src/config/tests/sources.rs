//! What must hold within a source, and between it and the sections.

use super::*;

fn refused(source: &str, kafka: &str) -> String {
    let text = format!(
        "{kafka}[kafka.client]\n\"bootstrap.servers\" = \"k:1\"\n[[source]]\nname = \"s\"\npath = \"/\"\nverify = \"none\"\n{source}\n"
    );
    match Config::parse(&text, "test.toml", &Environment::from([])) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_pointer_and_a_header_for_the_same_thing_exclude_each_other() {
    for (pointer, header) in [
        ("event_pointer = \"/a\"", "event_header"),
        ("key_pointers = [\"/a\"]", "key_header"),
        ("key_pointers = []", "key_header"),
        ("id_pointer = \"/a\"", "id_header"),
    ] {
        assert_eq!(refused(pointer, ""), "");
        let header_line = format!("{header} = \"X-A\"");
        assert_eq!(refused(&header_line, ""), "");
        let words = refused(&format!("{pointer}\n{header_line}"), "");
        let pointer = pointer.split_once(' ').unwrap().0;
        let expected = format!("source.0.{header}: {pointer} is set as well; remove one of them");
        assert!(words.contains(&expected), "{words}");
    }
}

#[test]
fn each_mistake_in_a_source_names_its_key_and_the_remedy() {
    for (source, expected) in [
        (
            "topic = \"a b\"",
            "source.0.topic: \"a b\" is not a topic name",
        ),
        (
            "topic = \"dead\"",
            "source.0.topic: is the same as kafka.dead_letter_topic",
        ),
        (
            "topics = { \"x\" = \"a/b\" }",
            "source.0.topics.x: \"a/b\" is not a topic name",
        ),
        ("topics.x = 7", "source.0.topics.x: cannot read 7"),
        (
            "topics = [\"a\"]",
            "source.0.topics: is a list; write a table of event names",
        ),
        (
            "max_body = \"1GiB\"",
            "source.0.max_body: is out of range; write a size from 1KiB",
        ),
        (
            "max_body = \"128MiB\"",
            "source.0.max_body: \"128MiB\" is more than listen.max_in_flight \"64MiB\"",
        ),
        (
            "allow = [\"100.20.5.228\"]",
            "source.0.allow.0: cannot read \"100.20.5.228\"; write networks in CIDR",
        ),
        (
            "content_types = [\"json\"]",
            "source.0.content_types.0: cannot read \"json\"; write media types",
        ),
        (
            "carry = [\"Cookie\"]",
            "source.0.carry.0: cannot read \"Cookie\"; write names of request headers",
        ),
        (
            "carry = [\"X-A\", \"?x-a\"]",
            "source.0.carry: \"http_x-a\" would stand for two things",
        ),
        (
            "dedup = \"8days\"",
            "source.0.dedup: is out of range; write a duration from 1s to 7days",
        ),
        (
            "event_header = \"a b\"",
            "source.0.event_header: cannot read \"a b\"; write the name",
        ),
    ] {
        let words = refused(
            source,
            "[kafka]\ntopic = \"main\"\ndead_letter_topic = \"dead\"\n",
        );
        assert!(words.contains(expected), "{source}: {words}");
    }
}

#[test]
fn a_source_s_topics_and_body_limit_reach_the_publisher() {
    let text = "[kafka]\ntopic = \"main\"\n[kafka.client]\n\"bootstrap.servers\" = \"k:1\"\n\
                [[source]]\nname = \"stripe\"\npath = \"/\"\nverify = \"none\"\ntopic = \"payments\"\n\
                max_body = \"16MiB\"\ntopics.invoice.paid = \"invoices\"\n";
    let config = Config::parse(text, "test.toml", &Environment::from([])).unwrap();
    let publish = config.publish();
    let topics = publish.topics();
    assert_eq!(topics.names(), ["main", "payments", "invoices"]);
    assert_eq!(topics.name(topics.of("stripe", "invoice.paid")), "invoices");
    assert_eq!(publish.max_body, 16 << 20);
    let shown = config.show();
    assert!(shown.contains("\"invoice.paid\" = \"invoices\""), "{shown}");
}
