//! Everything that needs no broker of its own: the tree's rules, the HTTP contract, the journal's model, the mock Kafka.

mod tidy;
