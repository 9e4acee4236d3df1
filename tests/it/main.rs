//! Everything that needs no broker of its own: the tree's rules, the HTTP contract, the journal's model, the mock Kafka.

mod command;
mod durability_table;
mod http2;
mod http_contract;
mod journal_damage;
mod journal_faults;
mod journal_model;
mod metrics_table;
mod prove;
mod support;
mod tidy;
